//! What is said of an Envoy without configuration.

use super::*;

#[test]
fn an_envoy_that_refused_everything_is_not_said_to_have_received_nothing() {
    let told = |cds, lds| configured(&Readiness { cds, lds, ..Readiness::default() });
    assert_eq!(told((1, 1), (2, 0)), Ok(()), "a refusal after a success does not matter");
    for (cds, lds, what) in [
        (
            (0, 0),
            (0, 0),
            "config not received from XDS server (is Istiod running?): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
        ),
        (
            (1, 0),
            (0, 0),
            "config not fully received from XDS server: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
        ),
        (
            (0, 1),
            (1, 0),
            "config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 1 successful, 0 rejected",
        ),
        (
            (0, 1),
            (0, 1),
            "config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 0 successful, 1 rejected",
        ),
    ] {
        assert_eq!(told(cds, lds).unwrap_err(), what);
    }
}
