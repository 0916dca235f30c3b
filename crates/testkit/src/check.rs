//! Mesh in, xDS out: what a proxy would be sent, for tests that look at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use generate::{Class, Generator, Proxy, TypeName};
use mesh::World;
use prost::Message;
use proto::envoy::config::core::v3::{BuildVersion, Extension, Locality, Node, node::UserAgentVersionType};
use proto::envoy::r#type::v3::SemanticVersion;
use proto::google::protobuf::{Struct, Value, value::Kind};

/// A node as Envoy announces it: `kind` is `sidecar` or `router`; labels and other metadata as text.
#[must_use]
pub fn node(kind: &str, ip: &str, pod: &str, namespace: &str, labels: &[(&str, &str)]) -> Node {
    let text = |t: &str| Value { kind: Some(Kind::StringValue(t.to_owned())) };
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), text(v))).collect();
    let labels = Value { kind: Some(Kind::StructValue(Struct { fields: labels })) };
    let fields = [
        ("NAMESPACE", text(namespace)),
        ("CLUSTER_ID", text(crate::fixture::CLUSTER)),
        ("INSTANCE_IPS", text(ip)),
        ("SERVICE_ACCOUNT", text(pod)),
        ("ISTIO_VERSION", text("1.32.0")),
        ("LABELS", labels),
    ];
    Node {
        id: format!("{kind}~{ip}~{pod}.{namespace}~{namespace}.svc.cluster.local"),
        cluster: format!("{pod}.{namespace}"),
        metadata: Some(Struct { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }),
        locality: Some(Locality::default()),
        ..Node::default()
    }
}

/// Makes a node that of a stock Envoy of release 1.`minor`.
pub fn stock(node: &mut Node, minor: u32) {
    let version = SemanticVersion { major_number: 1, minor_number: minor, patch: 0 };
    let build = BuildVersion { version: Some(version), ..BuildVersion::default() };
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentBuildVersion(build));
    node.extensions =
        vec![Extension { name: "envoy.filters.http.router".to_owned(), ..Extension::default() }];
}

/// Everything a proxy has of each type, in the order in which it is sent.
#[derive(Debug)]
pub struct Output {
    editions: BTreeMap<TypeName, Arc<generate::Edition>>,
}

impl Output {
    /// What `node` gets of `world`, built from scratch.
    ///
    /// # Panics
    /// If the node cannot be read.
    #[must_use]
    #[expect(clippy::panic, reason = "a mistake in a fixture fails the test that uses it")]
    pub fn of(world: &Arc<World>, node: &Node) -> Self {
        match Proxy::from_node(node) {
            Ok(proxy) => Self::of_class(world, &Arc::new(proxy)),
            Err(error) => panic!("the node of the fixture cannot be read: {error}"),
        }
    }

    /// The same for a class that is already known.
    #[must_use]
    pub fn of_class(world: &Arc<World>, class: &Class) -> Self {
        Self::with(&Generator::new(false), world, class)
    }

    /// The same by a generator that may have built a part of it already.
    #[must_use]
    pub fn with(generator: &Generator, world: &Arc<World>, class: &Class) -> Self {
        let edition = |of| (of, generator.edition(world, &generator.key(world, class, of)).0);
        Self { editions: TypeName::ALL.into_iter().map(edition).collect() }
    }

    /// The resources of a type.
    #[must_use]
    pub fn resources(&self, of: TypeName) -> Vec<&generate::Resource> {
        self.editions.get(&of).map_or_else(Vec::new, |edition| edition.resources().collect())
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self, of: TypeName) -> Vec<&str> {
        self.resources(of).into_iter().map(|resource| &*resource.name).collect()
    }

    /// One resource, decoded; `None` if there is none of this name.
    ///
    /// # Panics
    /// If its bytes are not an `M`.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "bytes of the wrong type are a failure of the test that finds them"
    )]
    pub fn get<M: Message + Default>(&self, of: TypeName, name: &str) -> Option<M> {
        let resource = self.resources(of).into_iter().find(|resource| *resource.name == *name)?;
        Some(M::decode(resource.body.clone()).expect("a resource is a message of its type"))
    }
}

/// What a proxy gets of these objects, with the built-in settings.
#[must_use]
pub fn check(yaml: &str, node: &Node) -> Output {
    Output::of(&crate::fixture::mesh(yaml).world(), node)
}
