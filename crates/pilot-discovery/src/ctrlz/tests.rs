//! ControlZ over loopback.

use process::log::Scope;

use super::*;
use crate::request::ask;

async fn served() -> (SocketAddr, Levels) {
    let levels = Levels::new(&[Scope { name: "ads", description: "streams <of> proxies" }], "").unwrap();
    let at = start("localhost", "0", levels.clone()).await.unwrap().unwrap();
    assert!(at.ip().is_loopback());
    (at, levels)
}

async fn asked(
    at: SocketAddr,
    method: &'static str,
    path: &str,
    body: &'static str,
) -> Result<String, String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || ask(&at.to_string(), method, &path, body)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_levels_are_read_and_set_in_upstreams_json() {
    let (at, levels) = served().await;
    let all: Value = serde_json::from_str(&asked(at, "GET", "/scopej/", "").await.unwrap()).unwrap();
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ads", "default", "grpc"]);
    let scope = asked(at, "GET", "/scopej/ads", "").await.unwrap();
    assert_eq!(
        scope.trim(),
        r#"{"name":"ads","description":"streams <of> proxies","output_level":"info","stack_trace_level":"none","log_callers":false}"#
    );
    let body = r#"{"name":"ads","output_level":"debug","log_callers":true}"#;
    assert!(asked(at, "PUT", "/scopej/ads", body).await.unwrap_err().contains("202"));
    let scope = levels.find("ads").unwrap();
    assert_eq!((scope.output.to_string(), scope.callers), ("debug".to_owned(), true));
    // a level nobody knows leaves the scope as it is
    let body = r#"{"output_level":"loud","stack_trace_level":"error"}"#;
    assert!(asked(at, "PUT", "/scopej/ads", body).await.unwrap_err().contains("202"));
    let scope = levels.find("ads").unwrap();
    assert_eq!((scope.output.to_string(), scope.stack_trace.to_string()), ("debug".into(), "error".into()));
    for (path, body) in [("/scopej/adz", "{}"), ("/scopej/ads", "{")] {
        assert!(asked(at, "PUT", path, body).await.unwrap_err().contains("400"), "{path} {body}");
    }
    assert!(asked(at, "GET", "/scopej/adz", "").await.unwrap_err().contains("unknown scope name: adz"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_topic_has_a_page_and_what_it_says_cannot_be_markup() {
    let (at, _) = served().await;
    let home = asked(at, "GET", "/", "").await.unwrap();
    for (prefix, title) in TOPICS {
        assert!(home.contains(&format!("/{prefix}z/")), "{prefix}");
        for path in [format!("/{prefix}z"), format!("/{prefix}z/")] {
            assert!(asked(at, "GET", &path, "").await.unwrap().contains(title), "{path}");
        }
    }
    let scopes = asked(at, "GET", "/scopez/", "").await.unwrap();
    assert!(scopes.contains("streams &lt;of&gt; proxies") && !scopes.contains("<of>"));
    for path in ["/memj", "/envj/", "/procj", "/argj", "/versionj/", "/homej"] {
        let text = asked(at, "GET", path, "").await.unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{path}: {text}");
    }
    let process: Value = serde_json::from_str(&asked(at, "GET", "/procj", "").await.unwrap()).unwrap();
    assert_eq!(process["pid"], std::process::id());
    assert!(process["uid"].as_i64().unwrap() >= 0 && process["threads"].as_i64().unwrap() > 1);
    let memory: Value = serde_json::from_str(&asked(at, "GET", "/memj", "").await.unwrap()).unwrap();
    assert!(memory["HeapAlloc"].as_u64().unwrap() > 1 << 16, "{memory}");
    assert!(asked(at, "PUT", "/memj/forcecollection", "").await.unwrap_err().contains("202"));
    assert!(asked(at, "GET", "/nothing", "").await.unwrap_err().contains("404"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_delivered_to_the_process() {
    let (at, _) = served().await;
    let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap();
    assert!(asked(at, "PUT", "/signalj/SIGUSR1", "").await.unwrap_err().contains("202"));
    tokio::time::timeout(Duration::from_secs(60), signals.recv()).await.expect("no signal");
}

#[tokio::test]
async fn a_port_that_is_taken_is_gone_without_and_a_wrong_one_is_an_error() {
    let (at, levels) = served().await;
    let port = at.port().to_string();
    assert_eq!(start(&at.ip().to_string(), &port, levels.clone()).await, Ok(None));
    assert!(start("localhost", "x", levels).await.unwrap_err().contains("--ctrlz_port"));
}

#[test]
fn only_names_of_this_machine_are_answered_to() {
    for host in ["localhost:9876", "127.0.0.1:9876", "[::1]:9876", "localhost", "10.0.0.7", "[::1]", ""] {
        assert!(names_this_machine(host), "{host}");
    }
    for host in ["evil.example:9876", "evil.example", "localhost.evil.example:1", "a:b"] {
        assert!(!names_this_machine(host), "{host}");
    }
}
