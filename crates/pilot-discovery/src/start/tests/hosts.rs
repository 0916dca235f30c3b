//! Gateways between networks that are known by a host.

use process::retry::Policy;
use sources::names;
use testkit::name_server::{NameServer, Says};

use super::cluster::page;
use super::*;

const SHOP: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  location: MESH_INTERNAL
  endpoints: [{address: 10.9.9.9, network: far, labels: {security.istio.io/tlsMode: istio}}]
";

fn says(address: &str) -> Option<Says> {
    Some(Says::Addresses(vec![address.parse().unwrap()], 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_another_network_follow_the_addresses_of_its_gateways_host() {
    let server = NameServer::start().await.unwrap();
    server.set("gw.example", false, says("192.0.2.1"));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    let networks = folder.path().join(".networks");
    fs::write(&networks, "networks: {far: {gateways: [{address: gw.example, port: 15443}]}}").unwrap();
    let socket = folder.path().join(".xds.sock");
    let line = format!(
        "--configDir={} --networksConfig={} --grpcAddr=unix://{} --secureGRPCAddr= --httpAddr=127.0.0.1:0 --monitoringAddr=127.0.0.1:0",
        folder.path().display(),
        networks.display(),
        socket.display()
    );
    let args = Args::parse(line.split_whitespace().map(str::to_owned)).unwrap();
    let own = folder.path().join(".ca").display().to_string();
    let read = |off: &[(&str, &str)]| {
        let vars = [("MELTEMI_CA_DIR", own.as_str())].into_iter().chain(off.iter().copied());
        Options::read(&args, &Vars::from_iter(vars)).unwrap().0
    };

    let mut options = read(&[]);
    options.hosts = Some(names::Options {
        servers: vec![server.address()],
        good: (Duration::from_millis(20), Duration::from_secs(60)),
        pauses: Policy { max: Duration::from_millis(50), ..Policy::default() },
        ..options.hosts.unwrap()
    });
    let running = start(options).await.unwrap();
    let gateways = get(&running, 3, "/debug/networkz").await.unwrap();
    assert!(gateways.contains("192.0.2.1"), "it is resolved before anybody is served: {gateways}");
    let (mut stream, response) = sidecar(socket.clone()).await;
    stream.answer(&response, None, &[]);
    let of_cart =
        |address: &'static str| move |text: &str| text.contains("cart.example") && text.contains(address);
    page(&running, "/debug/edsz?proxyID=web", of_cart("192.0.2.1")).await;
    server.set("gw.example", false, says("192.0.2.2"));
    let text = page(&running, "/debug/edsz?proxyID=web", of_cart("192.0.2.2")).await;
    assert!(!text.contains("192.0.2.1\""), "{text}");
    server.set("gw.example", false, Some(Says::Failure));
    let before = server.asked("gw.example", false);
    let again = async || (server.asked("gw.example", false) > before + 2).then_some(());
    testkit::eventually("it is asked again", Duration::from_secs(60), again).await.unwrap();
    let text = get(&running, 3, "/debug/edsz?proxyID=web").await.unwrap();
    assert!(of_cart("192.0.2.2")(&text), "the last answer is kept: {text}");
    drop(stream);
    running.stop(Duration::from_secs(10)).await;

    // names are no addresses, if nobody resolves them
    let running = start(read(&[("RESOLVE_HOSTNAME_GATEWAYS", "false")])).await.unwrap();
    let gateways = get(&running, 3, "/debug/networkz").await.unwrap();
    assert_eq!(gateways.trim(), "[]", "the networks are refused");
    running.stop(Duration::from_secs(10)).await;
}
