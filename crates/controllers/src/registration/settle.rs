//! What is left to be written of an entry: that its workload left or came late, its health, its end.

use config::Kind;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams, Preconditions};

use super::connections::{Pending, Present};
use super::entry::Cleanup;
use super::workload::{Refused, Role};
use super::{Registrar, entry};
use crate::mirror::Key;
use crate::objects;
use crate::queue::Outcome;

impl Registrar {
    /// Writes what is left to be written of an entry, on what stands there now.
    pub(super) async fn settle(&self, key: Key) -> Outcome {
        let entries = objects::api(&self.0.client, Kind::WorkloadEntry, Some(&key.namespace));
        let present = self.0.connections.lock().present(&key).cloned();
        let pending = self.0.connections.lock().pending(&key);
        let standing = entries.get_opt(&key.name).await?;
        let mut writes = 0;
        match (&present, &standing) {
            (Some(present), standing) if self.is_to_register(present, standing.as_ref()) => {
                match self.register(&key, &present.role, &present.workload, present.since).await {
                    Ok(_) => writes += 1,
                    Err(Refused::Unavailable(why)) => return Err(why.into()),
                    // its group is gone, too
                    Err(why) => tracing::info!("WorkloadEntry {key}: {why}"),
                }
            }
            (None, Some(entry)) if pending == Pending::default() => {
                return self.clean_up(&entries, &key, entry).await;
            }
            _ => {}
        }
        if let Some(entry) = standing {
            writes += self.write(&entries, &key, entry, &pending).await?;
        }
        let mut connections = self.0.connections.lock();
        connections.settled(&key, &pending);
        if connections.is_settled() {
            self.0.settled.notify_waiters();
        }
        Ok(writes)
    }

    /// Whether a workload that is connected here has no entry, as when its group came late, or one that does not say so.
    fn is_to_register(&self, present: &Present, standing: Option<&DynamicObject>) -> bool {
        match standing {
            Some(entry) => entry::connected(entry, &self.0.options.instance, present.since).is_some(),
            None => matches!(present.role, Role::Member(_)),
        }
    }

    /// Writes that a workload left, and what its agent found.
    async fn write(
        &self,
        entries: &Api<DynamicObject>,
        key: &Key,
        mut entry: DynamicObject,
        pending: &Pending,
    ) -> Outcome {
        let (instance, put) = (&self.0.options.instance, PostParams::default());
        let mut writes = 0;
        let healthy = pending.health.as_ref().and_then(|health| entry::with_health(&entry, instance, health));
        if let Some(healthy) = healthy {
            entry = entries.replace_status(&key.name, &put, &healthy).await?;
            writes += 1;
        }
        let left = pending.left.and_then(|(since, now)| entry::disconnected(&entry, instance, since, now));
        if let Some(left) = left {
            entries.replace(&key.name, &put, &left).await?;
            writes += 1;
            self.0.counts.unregistrations.inc();
            tracing::info!("WorkloadEntry {key}: its workload has left");
        }
        Ok(writes)
    }

    /// Cleans up after a workload that did not come back, if it is time and ours to do.
    async fn clean_up(&self, entries: &Api<DynamicObject>, key: &Key, entry: &DynamicObject) -> Outcome {
        let options = &self.0.options;
        let Some((at, how)) = entry::cleanup(entry, options.grace, options.longest_connection) else {
            return Ok(0);
        };
        let due = self.due(at, entry::is_of(entry, &options.instance));
        if due.is_none_or(|due| due > options.clock.now()) {
            return Ok(0);
        }
        let done = match how {
            Cleanup::Delete => {
                let resource_version = entry.metadata.resource_version.clone();
                let only_this = Preconditions { resource_version, uid: None };
                let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
                entries.delete(&key.name, &params).await.map(drop)
            }
            Cleanup::DropHealth => {
                let without = entry::without_health(entry);
                entries.replace_status(&key.name, &PostParams::default(), &without).await.map(drop)
            }
        };
        match done {
            Ok(()) => {
                self.0.counts.deletes.inc();
                tracing::info!("WorkloadEntry {key}: cleaned up, its workload did not come back");
                Ok(1)
            }
            // by another instance
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(1),
            Err(error) => Err(error.into()),
        }
    }
}
