//! Tables of ports and what they speak.

use super::Protocol::{self, *};

#[test]
fn a_port_speaks_what_its_app_protocol_name_or_number_says() {
    let cases = [
        (80, "http", "TCP", None, Http),
        (80, "http-web", "TCP", None, Http),
        (80, "HTTP2-web", "TCP", None, Http2),
        (80, "grpc-web", "TCP", None, GrpcWeb),
        (80, "gRPC-WEB-x", "TCP", None, GrpcWeb),
        (80, "grpc-x", "TCP", None, Grpc),
        (80, "web", "TCP", None, Unsupported),
        (80, "", "TCP", None, Unsupported),
        (80, "http", "UDP", None, Udp),
        (53, "dns", "TCP", None, Tcp),
        (3306, "", "TCP", None, Tcp),
        (3306, "mysql", "TCP", None, MySql),
        (27017, "db", "TCP", None, Tcp),
        (80, "http", "TCP", Some("tcp"), Tcp),
        (80, "http", "TCP", Some("kubernetes.io/h2c"), Http2),
        (80, "tcp", "TCP", Some("kubernetes.io/ws"), Http),
        (80, "tcp", "TCP", Some("kubernetes.io/wss"), Https),
        (80, "tcp", "TCP", Some("something"), Unsupported),
        (80, "tls-x", "TCP", None, Tls),
        (80, "é-http", "TCP", None, Unsupported),
    ];
    for (number, name, transport, app, want) in cases {
        assert_eq!(Protocol::of_port(number, name, transport, app), want, "{number} {name} {app:?}");
    }
}

#[test]
fn families_do_not_overlap() {
    for protocol in
        [Grpc, GrpcWeb, Http, HttpProxy, Http2, Https, Tcp, Tls, Udp, Mongo, Redis, MySql, Unsupported]
    {
        let families = [protocol.is_http(), protocol.is_tcp(), protocol == Udp, protocol.is_unsupported()];
        assert_eq!(families.iter().filter(|yes| **yes).count(), 1, "{protocol}");
    }
    assert_eq!(Https.after_tls_termination(), Http);
    assert_eq!(Tls.after_tls_termination(), Tcp);
}
