//! What a watch has shown, reduced to what its controller compares with.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::Resource;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;

/// Namespace and name of an object; the namespace is empty for what has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

type Events<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;
type Reduce<K, T> = Box<dyn Fn(K) -> T + Send>;

/// The objects of a watch, each reduced to a `T`.
pub(crate) struct Mirror<K, T> {
    what: String,
    events: Events<K>,
    reduce: Reduce<K, T>,
    objects: BTreeMap<Key, T>,
    /// What a list that has not ended has shown so far.
    listing: BTreeMap<Key, T>,
    synced: bool,
    troubled: bool,
}

impl<K, T> Mirror<K, T>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    K::DynamicType: Clone,
{
    /// Watches what `only` selects; `what` is what the objects are called when there is trouble.
    pub(crate) fn new(
        what: &str,
        api: Api<K>,
        only: watcher::Config,
        reduce: impl Fn(K) -> T + Send + 'static,
    ) -> Self {
        Self::of(what, watcher(api, only).default_backoff().boxed(), reduce)
    }

    fn of(what: &str, events: Events<K>, reduce: impl Fn(K) -> T + Send + 'static) -> Self {
        Self {
            what: what.to_owned(),
            events,
            reduce: Box::new(reduce),
            objects: BTreeMap::new(),
            listing: BTreeMap::new(),
            synced: false,
            troubled: false,
        }
    }

    /// Waits until something changed, and gives the keys of what may differ: after a list, of all that is or was there,
    /// perhaps nothing. Trouble with the watch is logged, and waited out. May be dropped and called again.
    pub(crate) async fn changed(&mut self) -> Vec<Key> {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => {
                    self.troubled = false;
                    if let Some(changed) = self.apply(event) {
                        return changed;
                    }
                }
                Some(Err(error)) => {
                    if !std::mem::replace(&mut self.troubled, true) {
                        tracing::warn!("{} cannot be watched, trying again: {error}", self.what);
                    }
                }
                // a watch has no end of its own
                None => std::future::pending().await,
            }
        }
    }

    fn apply(&mut self, event: watcher::Event<K>) -> Option<Vec<Key>> {
        match event {
            watcher::Event::Init => self.listing.clear(),
            watcher::Event::InitApply(object) => {
                let key = key(&object);
                self.listing.insert(key, (self.reduce)(object));
            }
            watcher::Event::InitDone => {
                self.synced = true;
                let listed = std::mem::take(&mut self.listing);
                let before = std::mem::replace(&mut self.objects, listed);
                let gone = before.into_keys().filter(|key| !self.objects.contains_key(key));
                let gone: Vec<Key> = gone.collect();
                return Some(gone.into_iter().chain(self.objects.keys().cloned()).collect());
            }
            watcher::Event::Apply(object) => {
                let key = key(&object);
                self.objects.insert(key.clone(), (self.reduce)(object));
                return Some(vec![key]);
            }
            watcher::Event::Delete(object) => {
                let key = key(&object);
                self.objects.remove(&key);
                return Some(vec![key]);
            }
        }
        None
    }

    /// Whether all that was there at the start has been seen.
    pub(crate) fn synced(&self) -> bool {
        self.synced
    }

    /// The object of this key.
    pub(crate) fn get(&self, key: &Key) -> Option<&T> {
        self.objects.get(key)
    }

    /// All objects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &T)> {
        self.objects.iter()
    }
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    Key { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("shop".to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    #[tokio::test]
    async fn another_list_tells_of_what_is_gone_and_an_empty_one_of_being_complete() {
        let events = vec![
            Ok(Init),
            Ok(InitDone),
            Ok(Apply(object("a", "1"))),
            Ok(Apply(object("b", "2"))),
            Ok(Delete(object("a", "3"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Init),
            Ok(InitApply(object("c", "4"))),
            Ok(InitDone),
        ];
        let version = |object: ConfigMap| object.resource_version().unwrap_or_default();
        let mut mirror = Mirror::of("objects", stream::iter(events).boxed(), version);
        let key = |name: &str| Key::new("shop", name);
        assert!(!mirror.synced());
        assert!(mirror.changed().await.is_empty() && mirror.synced());
        assert_eq!(mirror.changed().await, [key("a")]);
        assert_eq!(mirror.changed().await, [key("b")]);
        assert_eq!(mirror.changed().await, [key("a")]);
        assert_eq!((mirror.get(&key("a")), mirror.get(&key("b"))), (None, Some(&"2".to_owned())));
        assert_eq!(mirror.changed().await, [key("b"), key("c")]);
        let all: Vec<_> = mirror.iter().map(|(key, version)| (key.to_string(), version.as_str())).collect();
        assert_eq!(all, [("shop/c".to_owned(), "4")]);
    }
}
