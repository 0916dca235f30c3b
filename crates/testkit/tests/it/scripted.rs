//! The scripted proxy against a real server on loopback.

use std::sync::Arc;
use std::time::Duration;

use generate::{Class, Generator, Proxy, TypeName};
use mesh::World;
use proto::envoy::config::core::v3::Node;
use testkit::scripted::Scripted;
use testkit::{check, fixture};
use tokio::net::TcpListener;
use tokio::sync::watch;
use xds::server::{Metrics, Options, Server, incoming};
use xds::{Catalog, Edition, Peer, Refusal, Resource, TypeUrl};

const DEADLINE: Duration = Duration::from_secs(20);
const CLUSTER: &str = "outbound|80||one.a.svc.cluster.local";
const YAML: &str = "
apiVersion: v1
kind: Service
metadata: {name: one, namespace: a}
spec:
  clusterIP: 10.96.0.1
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one-1, namespace: a, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [10.0.0.1]}]
";

/// A catalog of one world that never changes.
struct Still {
    world: Arc<World>,
    generator: Generator,
    ticks: watch::Sender<u64>,
}

impl Catalog for Still {
    type Client = Class;

    async fn admit(&self, node: &Node, _peer: &Peer) -> Result<Class, Refusal> {
        Proxy::from_node(node).map(Class::new).map_err(|e| Refusal::new(tonic::Code::InvalidArgument, e))
    }

    fn edition(&self, class: &Class, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        let of = TypeName::from_url(type_url.as_str())?;
        let (built, ..) = self.generator.edition(&self.world, &self.generator.key(&self.world, class, of));
        let resources = built.resources().map(|r| Resource::new(r.name.clone(), r.body.clone()));
        Some(Edition::new(1, resources.collect()))
    }

    fn watch(&self, _class: &Class) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }
}

#[tokio::test]
async fn the_scripted_proxy_collects_what_its_resources_mention_and_reconnects_for_nothing() {
    let world = fixture::mesh(YAML).world();
    let node = check::node("sidecar", "10.0.0.1", "one", "a", &[("app", "one")]);
    let expected = check::Output::of(&world, &node);
    let still = Still { world, generator: Generator::new(false), ticks: watch::Sender::new(0) };
    let server = Server::new(Arc::new(still), Options::default(), Metrics::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        server.serve_with_incoming(incoming::tcp(listener), std::future::pending::<()>()).await
    });

    let mut proxy = Scripted::tcp(&address, node);
    proxy.wait_until(|p| p.held(&TypeUrl::Endpoint).contains_key(CLUSTER), DEADLINE).await.unwrap();
    proxy.wait_until(|p| p.count(&TypeUrl::Listener).messages > 0, DEADLINE).await.unwrap();
    let held: Vec<_> = proxy.held(&TypeUrl::Cluster).into_keys().map(str::to_owned).collect();
    let mut due = expected.names(TypeName::Cluster);
    due.sort_unstable();
    assert_eq!(held, due);

    let before = proxy.count(&TypeUrl::Cluster);
    assert!(before.bytes > 0 && before.resources == due.len(), "{before:?}");
    proxy.cut();
    proxy.wait_until(|p| p.count(&TypeUrl::Cluster).messages > before.messages, DEADLINE).await.unwrap();
    let after = proxy.count(&TypeUrl::Cluster);
    assert_eq!(after.bytes, before.bytes, "nothing that is held is sent again after a reconnect");
    serving.abort();
}

#[tokio::test]
async fn waiting_for_what_never_comes_ends_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut proxy = Scripted::tcp(&address, Node::default());
    let error = proxy.wait_until(|_| false, Duration::from_secs(3)).await.unwrap_err();
    assert!(error.contains("disconnects [\""), "{error}");

    let error = testkit::eventually("the sky falls", Duration::from_millis(50), async || None::<()>).await;
    assert_eq!(error.unwrap_err(), "the sky falls: not so after 50ms");
    let mut looks = 0;
    let found = testkit::eventually("three looks", DEADLINE, async || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found.await, Ok(3));
}
