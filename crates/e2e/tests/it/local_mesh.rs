//! `istioctl up` to `istioctl down`: bookinfo on one machine, with mutual TLS, edited while it runs.

use e2e::{get, programs};
use serde_json::Value;

use crate::stage::{Bookinfo, PATIENCE, eventually, is_dead, parts, proxy};

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[field].as_str()).collect()
}

fn stdout(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Colours of the stars that the gateway's answers show.
fn colour(gateway: &str) -> Option<String> {
    let answer = get(&format!("{gateway}/api/v1/products/0/reviews"), &[]).ok()?;
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    Some(body["reviews"][0]["rating"]["color"].as_str().unwrap_or("none").to_owned())
}

#[test]
fn bookinfo_comes_up_with_mutual_tls_takes_an_edit_and_goes_without_a_trace() {
    let bookinfo = Bookinfo::up(&["--gateway-port", "0"]);
    let (document, mesh, gateway) = (&bookinfo.document, &bookinfo.mesh, bookinfo.gateway());
    let port = gateway.strip_prefix("http://127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().unwrap() >= 1024, "a free port was chosen and is printed");
    let listeners = get(
        &format!("http://{}/listeners", proxy(document, "istio-ingressgateway")["admin"].as_str().unwrap()),
        &[],
    );
    let listeners = listeners.unwrap().body;
    assert!(listeners.lines().any(|line| line.ends_with(&format!("::127.0.0.1:{port}"))), "{listeners}");
    assert!(!listeners.contains("::0.0.0.0:"), "nobody else calls the mesh: {listeners}");

    let page = get(&format!("{gateway}/productpage"), &[]).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("<title>Simple Bookstore App</title>"), "{}", page.body);

    let wanted =
        [("productpage-v1", "details-v1"), ("reviews-v2", "ratings-v1"), ("reviews-v3", "ratings-v1")];
    let edges = bookinfo.await_edges(&wanted);
    for (source, destination) in wanted {
        let found = edges.iter().find(|e| e["source"] == source && e["destination"] == destination);
        assert_eq!(
            found.map(|edge| &edge["mutual_tls"]),
            Some(&Value::Bool(true)),
            "{source} -> {destination}: {edges:?}"
        );
    }

    let proxies = texts(&document["proxies"], "id");
    assert_eq!(proxies.len(), 7, "{proxies:?}");
    bookinfo.await_synced();
    let status = stdout(&mesh.istioctl(&["ps", "-v", "1"]).unwrap());
    for id in proxies {
        let row =
            status.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{id}: {status}"));
        assert!(row.matches("SYNCED").count() >= 4, "CDS, LDS, EDS, RDS: {row}");
        for state in ["STALE", "NOT SENT", "ERROR"] {
            assert!(!row.contains(state), "{row}");
        }
    }
    let levels = stdout(&mesh.istioctl(&["admin", "log"]).unwrap());
    assert!(levels.lines().any(|line| line.starts_with("ads ") && line.contains("info")), "{levels}");
    let clusters =
        stdout(&mesh.istioctl(&["pc", "cluster", "productpage-v1", "--fqdn", "reviews.default"]).unwrap());
    for subset in ["v1", "v2", "v3"] {
        assert!(
            clusters.lines().any(|l| l.contains(" 9080 ") && l.contains(subset) && l.contains("EDS")),
            "{clusters}"
        );
    }

    let address = proxy(document, "details-v1")["address"].as_str().unwrap();
    assert!(get(&format!("http://{address}:9080/health"), &[]).is_err(), "plain text must be refused");

    let only_red = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews, namespace: default}\n\
                    spec:\n  hosts: [reviews]\n  http:\n  - route:\n    - destination: {host: reviews, subset: v3}\n";
    std::fs::write(bookinfo.folder().join("reviews.yaml"), only_red).unwrap();
    eventually("only red stars", PATIENCE, || (0..12).all(|_| colour(gateway).as_deref() == Some("red")));

    stdout(&mesh.istioctl(&["down"]).unwrap());
    let pids = document["proxies"].as_array().unwrap().iter().filter_map(|p| p["pid"].as_u64());
    for pid in pids.chain(document["control_plane"]["pid"].as_u64()) {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
    assert!(get(gateway, &[]).is_err());
    assert!(!mesh.state().join("meltemi/run").exists());
    let kept = std::fs::read_to_string(mesh.state().join("meltemi/bookinfo/reviews.yaml")).unwrap();
    assert_eq!(kept, only_red, "an edited file is the user's");
}

#[test]
fn a_process_joins_under_its_own_identity_and_leaves_when_it_ends() {
    let bookinfo = Bookinfo::quiet(&[]);
    let mesh = &bookinfo.mesh;
    let own = programs().join("istioctl").display().to_string();
    let arguments = [
        "run",
        "--name",
        "client",
        "--port",
        "3999",
        "--",
        &own,
        "bookinfo",
        "productpage",
        "--port",
        "3999",
    ];
    let mut client = mesh.spawn(&arguments).unwrap();
    eventually("the client calls details by name", PATIENCE, || {
        get("http://127.0.0.1:3999/api/v1/products/0", &[])
            .is_ok_and(|answer| answer.body.contains("PublisherA"))
    });
    let metrics = proxy(&bookinfo.document, "details-v1")["metrics"].as_str().unwrap();
    eventually("details knows who called", PATIENCE, || {
        get(metrics, &[]).is_ok_and(|answer| {
            answer.body.lines().any(|line| {
                line.starts_with("istio_requests_total")
                    && line.contains("/sa/client\"")
                    && line.contains("mutual_tls")
            })
        })
    });
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("the client is gone", PATIENCE, || {
        let said = mesh.istioctl(&["ps"]).ok().filter(|said| said.status.success());
        said.is_some_and(|said| !stdout(&said).contains("client.default"))
    });
}

#[test]
fn a_mesh_whose_supervisor_was_killed_is_cleared_by_the_next_up() {
    let bookinfo = Bookinfo::quiet(&[]);
    let first = &bookinfo.document;
    let supervisor = first["pid"].as_u64().unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &supervisor.to_string()]).status().unwrap();
    assert!(killed.success());
    eventually("the supervisor is dead", PATIENCE, || is_dead(supervisor));
    let second = bookinfo.mesh.up(&["--traffic", "0"]);
    assert_eq!(first["gateway"], second["gateway"], "the ports are free again");
    for pid in first["proxies"].as_array().unwrap().iter().filter_map(|p| p["pid"].as_u64()) {
        assert!(is_dead(pid), "left of the first mesh: {pid} {:?}", parts(&format!("/proc/{pid}/cmdline")));
    }
}
