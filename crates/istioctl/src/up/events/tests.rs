//! Lines for people.

use super::{parse, tell};

#[test]
fn a_change_is_told_with_its_place_and_who_acknowledged_it_how_fast() {
    let stream = r#"{"seq":1,"kind":"change","object":"VirtualService/default/reviews","file":"routes.yaml","line":12}
{"seq":2,"kind":"push","proxy":"a.default","type":"RDS","ms":1.5}
{"seq":3,"kind":"ack","proxy":"a.default","type":"type.googleapis.com/envoy.config.route.v3.RouteConfiguration","ms":4.25}
{"seq":4,"kind":"ack","proxy":"sidecar~127.64.0.2~b.default~default.svc.cluster.local","type":"type.googleapis.com/envoy.config.route.v3.RouteConfiguration","ms":12.6}
not json
{"seq":5,"kind":"nack","proxy":"c.default","type":"LDS","message":"bad listener"}
{"seq":7,"kind":"change","object":"Gateway/default/g","file":"g.yaml","line":9,"message":"warning: odd"}
{"seq":6,"kind":"refused","object":"Gateway/default/g","file":"g.yaml","line":3,"message":"no servers"}"#;
    assert_eq!(
        tell(&parse(stream)),
        [
            "changed VirtualService/default/reviews (routes.yaml:12)",
            "NACK by c.default (LDS): bad listener",
            "g.yaml:9 Gateway/default/g: warning: odd",
            "REFUSED g.yaml:3 Gateway/default/g: no servers",
            "  RDS ACK by a.default, b.default in 13 ms",
        ]
    );
}
