//! Scrape configurations, good and refused.

use super::*;

fn target(port: u16, path: &str) -> ScrapeTarget {
    ScrapeTarget { port, path: path.to_owned() }
}

#[test]
fn defaults_fill_what_is_not_said() {
    assert_eq!(scrape_targets("{}", 15020), Ok(vec![target(80, "/metrics")]));
    let one = r#"{"scrape":"true","port":"9090","path":"/m"}"#;
    assert_eq!(scrape_targets(one, 15020), Ok(vec![target(9090, "/m")]));
    assert_eq!(scrape_targets(r#"{"scrape":"false"}"#, 15020), Ok(vec![]));
    let several = r#"{"targets":[{"port":"1","path":"/a"},{"port":"2"}]}"#;
    assert_eq!(scrape_targets(several, 15020), Ok(vec![target(1, "/a"), target(2, "/metrics")]));
}

#[test]
fn the_agent_never_scrapes_itself_or_the_proxy() {
    for (port, status) in [("15020", 15020), ("15090", 15020), ("16000", 16000), ("x", 15020), ("0", 15020)] {
        let text = format!(r#"{{"port":"{port}"}}"#);
        assert!(scrape_targets(&text, status).is_err(), "{text}");
    }
}
