//! The objects that locks are: a ConfigMap with an annotation, or a Lease.
//!
//! Written as a whole under the version that was read, so of two writers one is told: upstream's roles allow no patches of
//! ConfigMaps.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{HOLDER_KEY, RECORD, Record};

/// A kind of object that can be a lock.
pub(super) trait LockObject:
    Clone + Debug + Default + DeserializeOwned + Serialize + kube::Resource<DynamicType = ()> + Send + Sync
{
    /// What it says of its holder, and a mark that differs whenever that does; no record if it cannot be read.
    fn record(&self) -> (Option<Record>, String);
    /// The same object with another record, and all else as it was.
    fn with_record(self, record: &Record) -> Self;
}

/// One lock of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Lock<K> {
    pub(super) api: Api<K>,
    pub(super) name: String,
}

/// A lock as it stands in the cluster.
#[derive(Debug, Clone)]
pub(super) struct Standing<K> {
    object: K,
    /// What it says of its holder; `None` if that cannot be read.
    pub(super) record: Option<Record>,
    /// Differs whenever the record does.
    pub(super) mark: String,
}

impl<K: LockObject> Lock<K> {
    /// The lock, if there is one.
    pub(super) async fn read(&self) -> kube::Result<Option<Standing<K>>> {
        Ok(self.api.get_opt(&self.name).await?.map(standing))
    }

    /// Makes the lock; refused with a conflict if there is one already.
    pub(super) async fn create(&self, record: &Record) -> kube::Result<Standing<K>> {
        let mut object = K::default().with_record(record);
        object.meta_mut().name = Some(self.name.clone());
        Ok(standing(self.api.create(&PostParams::default(), &object).await?))
    }

    /// Writes another record; refused with a conflict if the lock is not what `before` says any more.
    pub(super) async fn update(&self, before: &Standing<K>, record: &Record) -> kube::Result<Standing<K>> {
        let object = before.object.clone().with_record(record);
        Ok(standing(self.api.replace(&self.name, &PostParams::default(), &object).await?))
    }
}

fn standing<K: LockObject>(object: K) -> Standing<K> {
    let (record, mark) = object.record();
    Standing { object, record, mark }
}

impl LockObject for ConfigMap {
    fn record(&self) -> (Option<Record>, String) {
        let text = self.metadata.annotations.as_ref().and_then(|all| all.get(RECORD));
        match text {
            Some(text) => (serde_json::from_str(text).ok(), text.clone()),
            // nobody holds it
            None => (Some(Record::default()), String::new()),
        }
    }

    fn with_record(mut self, record: &Record) -> Self {
        self.metadata.annotations.get_or_insert_default().insert(RECORD.to_owned(), record.text());
        self
    }
}

impl LockObject for Lease {
    fn record(&self) -> (Option<Record>, String) {
        let spec = self.spec.clone().unwrap_or_default();
        let key = self.metadata.annotations.as_ref().and_then(|all| all.get(HOLDER_KEY));
        let time = |time: Option<MicroTime>| time.map(|MicroTime(time)| time.to_string());
        let record = Record {
            holder_identity: spec.holder_identity.unwrap_or_default(),
            holder_key: key.cloned().unwrap_or_default(),
            lease_duration_seconds: spec.lease_duration_seconds.unwrap_or_default().into(),
            acquire_time: time(spec.acquire_time),
            renew_time: time(spec.renew_time),
            leader_transitions: spec.lease_transitions.unwrap_or_default().into(),
        };
        let mark = record.text();
        (Some(record), mark)
    }

    fn with_record(mut self, record: &Record) -> Self {
        let time = |text: &Option<String>| text.as_deref()?.parse::<Timestamp>().ok().map(MicroTime);
        self.spec = Some(LeaseSpec {
            holder_identity: Some(record.holder_identity.clone()),
            lease_duration_seconds: i32::try_from(record.lease_duration_seconds).ok(),
            acquire_time: time(&record.acquire_time),
            renew_time: time(&record.renew_time),
            lease_transitions: i32::try_from(record.leader_transitions).ok(),
            ..self.spec.unwrap_or_default()
        });
        let annotations = self.metadata.annotations.get_or_insert_default();
        if record.holder_key.is_empty() {
            annotations.remove(HOLDER_KEY);
        } else {
            annotations.insert(HOLDER_KEY.to_owned(), record.holder_key.clone());
        }
        self
    }
}
