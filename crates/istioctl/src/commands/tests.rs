//! Names of proxies and log levels, as users write them.

use super::{infer_proxy, level_queries};

#[test]
fn a_proxy_is_named_with_or_without_type_and_namespace() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(infer_proxy("reviews-v1", ""), pair("reviews-v1", "default"));
    assert_eq!(infer_proxy("reviews-v1", "shop"), pair("reviews-v1", "shop"));
    assert_eq!(infer_proxy("reviews-v1.shop", "other"), pair("reviews-v1", "shop"));
    assert_eq!(infer_proxy("deploy/reviews-v1.shop", ""), pair("reviews-v1", "shop"));
}

#[test]
fn log_levels_are_checked_before_anything_is_changed() {
    let known = ["http", "rbac"];
    assert_eq!(level_queries("debug", &known).unwrap(), ["level=debug"]);
    assert_eq!(level_queries("http:trace,rbac:debug", &known).unwrap(), ["http=trace", "rbac=debug"]);
    assert_eq!(level_queries("xxx:debug", &known).unwrap_err().to_string(), "unrecognized logger name: xxx");
    assert_eq!(level_queries("http:yyy", &known).unwrap_err().to_string(), "unrecognized logging level: yyy");
}
