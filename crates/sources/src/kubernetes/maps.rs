//! The ConfigMaps in which mesh configuration stands: few, and needed before anything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Object};
use futures_util::StreamExt as _;
use kube::Client;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::raw::{Raw, resource};
use super::watch::{RENEWAL, Watched, seconds};

/// ConfigMaps by name, those that are there.
pub type Maps = BTreeMap<String, Arc<Object>>;

/// Follows the ConfigMaps `names` of a namespace for as long as somebody looks at the result, in which they stand once all
/// of them are known to be there or not. Waits until the API server has said so.
pub async fn follow(client: Client, namespace: &str, names: Vec<String>) -> watch::Receiver<Maps> {
    let (maps, mut seen) = watch::channel(Known { awaited: names.len(), maps: Maps::new() });
    let maps = Arc::new(maps);
    for name in names {
        tokio::spawn(follow_one(client.clone(), namespace.to_owned(), name, maps.clone()));
    }
    drop(maps);
    // it cannot end: the tasks live as long as somebody looks
    let _ = seen.wait_for(|known| known.awaited == 0).await;
    let (shown, result) = watch::channel(seen.borrow_and_update().maps.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                () = shown.closed() => return,
            }
            shown.send_replace(seen.borrow_and_update().maps.clone());
        }
    });
    result
}

/// What is known of them.
struct Known {
    /// Of how many nothing is known yet.
    awaited: usize,
    maps: Maps,
}

async fn follow_one(client: Client, namespace: String, name: String, known: Arc<watch::Sender<Known>>) {
    let origin: Arc<str> = format!("ConfigMap {namespace}/{name}").into();
    let watched = Watched {
        client,
        resource: resource(Kind::ConfigMap, "v1"),
        namespace: Some(namespace),
        fields: Some(format!("metadata.name={name}")),
        labels: None,
        streaming: false,
        binary: false,
        renewed: seconds(RENEWAL),
    };
    let object = |raw: Raw| raw.decode(Kind::ConfigMap, "v1", &origin).objects.pop().map(Arc::new);
    let set = |object: Option<Arc<Object>>| {
        known.send_if_modified(|known| match object {
            Some(object) => known.maps.insert(name.clone(), object.clone()).is_none_or(|old| old != object),
            None => known.maps.remove(&name).is_some(),
        });
    };
    let mut events = std::pin::pin!(watched.events());
    let (mut complete, mut listed) = (false, None);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = known.closed() => return,
        };
        match event {
            Some(Ok(Event::Init)) => listed = None,
            Some(Ok(Event::InitApply(raw))) => listed = object(raw),
            Some(Ok(Event::InitDone)) => {
                set(listed.take());
                if !std::mem::replace(&mut complete, true) {
                    known.send_modify(|known| known.awaited -= 1);
                }
            }
            Some(Ok(Event::Apply(raw))) => set(object(raw)),
            Some(Ok(Event::Delete(_))) => set(None),
            Some(Err(error)) => tracing::warn!(target: "kube", "{origin}: {error}; trying again"),
            None => return,
        }
    }
}
