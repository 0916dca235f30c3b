//! The hand-written wire form against the generated one.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use proto::envoy::config::core::v3::ControlPlane;
use proto::envoy::service::discovery::v3::{self as wire, DeltaDiscoveryResponse, DiscoveryResponse};
use proto::google::protobuf::Any;

use super::*;
use crate::edition::Edition;
use crate::request::Resources;

fn written(response: &Response, control_plane: &ControlPlane) -> (Vec<u8>, Vec<usize>) {
    let mut frame = Frame::new(response.clone(), control_plane.encode_to_vec().into());
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    while let Some(chunk) = frame.next_chunk() {
        sizes.push(chunk.len());
        all.extend_from_slice(&chunk);
    }
    (all, sizes)
}

fn generated(response: &Response, control_plane: &ControlPlane) -> Vec<u8> {
    let type_url = response.type_url.as_str().to_owned();
    let any = |r: &Resource| Any { type_url: type_url.clone(), value: r.body.clone() };
    let control_plane = Some(control_plane.clone()).filter(|cp| !cp.identifier.is_empty());
    let resources = response.resources.iter();
    match response.variant {
        Variant::Sotw => DiscoveryResponse {
            version_info: response.revision.to_string(),
            resources: resources.map(any).collect(),
            type_url: type_url.clone(),
            nonce: response.nonce.to_string(),
            control_plane,
            ..Default::default()
        }
        .encode_to_vec(),
        Variant::Delta => DeltaDiscoveryResponse {
            system_version_info: response.revision.to_string(),
            resources: resources
                .map(|r| wire::Resource {
                    name: r.name.to_string(),
                    version: r.wire_version(),
                    resource: Some(any(r)),
                    ..Default::default()
                })
                .collect(),
            type_url: type_url.clone(),
            nonce: response.nonce.to_string(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            control_plane,
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

fn bodies() -> impl Strategy<Value = Bytes> {
    let body = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..50),
        1 => (SHARE - 2..SHARE + 2).prop_map(|len| vec![7; len]),
        1 => (GATHER - 2..GATHER + 2).prop_map(|len| vec![8; len]),
    ];
    body.prop_map(Bytes::from)
}

/// Resources in sections, and which of them are sent.
fn resources() -> impl Strategy<Value = Resources> {
    let section = prop::collection::vec(bodies(), 0..5);
    let sections = prop::collection::vec((section, any::<bool>()), 0..4);
    sections.prop_map(|sections| {
        let (mut all, mut picks, mut count) = (Vec::new(), Vec::new(), 0);
        for (bodies, whole) in sections {
            let named = |body| {
                count += 1;
                Resource::new(format!("{}{count}", "name".repeat(count % 5)), body)
            };
            let first =
                u32::try_from(all.iter().map(|s: &Arc<Section>| s.resources().len()).sum::<usize>()).unwrap();
            let section = Section::new(bodies.into_iter().map(named).collect());
            let len = u32::try_from(section.resources().len()).unwrap();
            picks.extend((first..first + len).filter(|at| whole || at % 2 == 0));
            all.push(section);
        }
        Edition::of(1, all).pick(&picks)
    })
}

fn responses() -> impl Strategy<Value = Response> {
    let variant = prop_oneof![Just(Variant::Delta), Just(Variant::Sotw)];
    let names = prop::collection::vec("[a-z]{0,9}", 0..4);
    (variant, resources(), names, any::<u64>()).prop_map(|(variant, resources, removed, revision)| Response {
        variant,
        type_url: TypeUrl::Route,
        nonce: "1-2".into(),
        revision,
        resources,
        removed: match variant {
            Variant::Delta => removed.into_iter().map(Into::into).collect(),
            Variant::Sotw => vec![],
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_the_generated_code_would_write(response in responses(), identifier in "[a-z]{0,4}") {
        let control_plane = ControlPlane { identifier };
        let (all, sizes) = written(&response, &control_plane);
        let expected = generated(&response, &control_plane);
        prop_assert_eq!(all[0], 0, "not compressed");
        prop_assert_eq!(u32::from_be_bytes(all[1..5].try_into().unwrap()) as usize, expected.len());
        prop_assert!(all[5..] == expected[..], "the bytes differ");
        prop_assert!(sizes.iter().all(|size| *size < GATHER + SHARE + 400), "{:?}", sizes);
        prop_assert!(written(&response, &control_plane).0 == all, "the second client is sent the same");
    }
}

#[test]
fn a_big_part_goes_out_uncopied() {
    let part = Bytes::from(vec![1; SHARE]);
    let resource = Resource::new("80", part.clone());
    let response = Response {
        variant: Variant::Delta,
        type_url: TypeUrl::Route,
        nonce: "n".into(),
        revision: 1,
        resources: vec![resource].into(),
        removed: vec![],
    };
    let mut frame = Frame::new(response, Bytes::new());
    let chunks: Vec<_> = std::iter::from_fn(|| frame.next_chunk()).collect();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), part.as_ptr());
}

#[test]
fn an_answer_may_have_resources_of_other_types() {
    let mut resources = Resources::from(vec![Resource::new("own", "1")]);
    resources.push_foreign(TypeUrl::Cluster, vec![Resource::new("a", "2"), Resource::new("b", "")]);
    resources.push_foreign(TypeUrl::Listener, vec![]);
    resources.push_foreign(TypeUrl::Other("x".into()), vec![Resource::new("c", "3")]);
    for variant in [Variant::Sotw, Variant::Delta] {
        let response = Response {
            variant,
            type_url: TypeUrl::Other("istio.io/debug/syncz".into()),
            nonce: "n".into(),
            revision: 0,
            resources: resources.clone(),
            removed: Vec::new(),
        };
        let (bytes, _) = written(&response, &ControlPlane::default());
        let message = &bytes[PREFIX..];
        let found: Vec<Any> = match variant {
            Variant::Sotw => DiscoveryResponse::decode(message).unwrap().resources,
            Variant::Delta => {
                let list = DeltaDiscoveryResponse::decode(message).unwrap().resources;
                list.into_iter().map(|r| r.resource.unwrap()).collect()
            }
        };
        let found: Vec<(&str, &[u8])> = found.iter().map(|any| (&*any.type_url, &*any.value)).collect();
        let cluster = TypeUrl::Cluster.as_str();
        let wanted: [(&str, &[u8]); 4] =
            [("istio.io/debug/syncz", b"1"), (cluster, b"2"), (cluster, b""), ("x", b"3")];
        assert_eq!(found, wanted, "{variant:?}");
    }
}
