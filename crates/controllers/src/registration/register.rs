//! A workload connects: its entry is made, or says that it is connected here.

use std::sync::Arc;
use std::time::SystemTime;

use config::Kind;
use kube::api::{Api, DynamicObject, PostParams};

use super::workload::{Refused, Role, Workload};
use super::{Connection, Registrar, entry};
use crate::mirror::Key;
use crate::objects;
use crate::queue::limited;

/// How often it is tried on an entry that others write at the same time.
const ATTEMPTS: u32 = 5;

impl Registrar {
    /// Takes a workload whose agent connected at the time `since`, or whose connection was there before its group.
    ///
    /// `None` for a workload behind an entry that does not ask for its health: there is nothing to do for it.
    /// Who waits for this may stop at any time: what has begun goes on, and its connection has ended.
    ///
    /// # Errors
    /// When the workload is not to be let in; see [`Refused`].
    pub async fn connect(
        &self,
        role: Role,
        workload: Workload,
        since: SystemTime,
    ) -> Result<Option<Connection>, Refused> {
        let name = match &role {
            Role::Member(group) => entry::name(group, &workload)?,
            Role::Behind(name) => name.clone(),
        };
        entry::check_names(&role, &name, &workload)?;
        if self.0.options.validates_identity {
            entry::may_stand_in(workload.identity.as_ref(), &workload.namespace)?;
        }
        let lost = |why: &dyn std::fmt::Display| Refused::Unavailable(why.to_string());
        let permit = self.0.permits.clone().acquire_owned().await.map_err(|closed| lost(&closed))?;
        let registrar = self.clone();
        let taking = tokio::spawn(async move {
            let _permit = permit;
            registrar.take(Key::new(&workload.namespace, &name), role, workload, since).await
        });
        taking.await.unwrap_or_else(|failed| Err(lost(&failed)))
    }

    async fn take(
        self,
        key: Key,
        role: Role,
        workload: Workload,
        since: SystemTime,
    ) -> Result<Option<Connection>, Refused> {
        let taken = limited(async { Ok(self.register(&key, &role, &workload, since).await) }).await;
        let taken = taken.unwrap_or_else(|late| Err(Refused::Unavailable(late.to_string())));
        if let Err(why) = &taken {
            self.0.counts.errors.inc();
            // it may have been written without an answer
            if matches!(why, Refused::Unavailable(_)) {
                let left = self.0.connections.lock().left(key.clone(), since, self.0.options.clock.now());
                self.touch(left);
            }
        }
        Ok(taken?.then(|| {
            let name = key.name.clone();
            let number = self.0.connections.lock().open(key, role, Arc::new(workload), since);
            Connection { registrar: self, number, name }
        }))
    }

    /// Makes the entry of a workload say that it is connected here, if it does not; whether there is anything to look after.
    pub(super) async fn register(
        &self,
        key: &Key,
        role: &Role,
        workload: &Workload,
        since: SystemTime,
    ) -> Result<bool, Refused> {
        let entries = objects::api(&self.0.client, Kind::WorkloadEntry, Some(&key.namespace));
        for _ in 0..ATTEMPTS {
            let standing = entries.get_opt(&key.name).await.map_err(|error| refused(key, &error))?;
            let written = match (standing, role) {
                (Some(entry), Role::Behind(_)) if !entry::takes_health(&entry) => return Ok(false),
                (Some(entry), _) => self.adopt(&entries, key, workload, &entry, since).await?,
                (None, Role::Member(group)) => self.create(&entries, key, workload, group, since).await?,
                (None, Role::Behind(_)) => {
                    let why = format!(
                        "{} is to stand behind WorkloadEntry {key}, which is not there",
                        workload.proxy
                    );
                    return Err(Refused::Precondition(why));
                }
            };
            if written {
                return Ok(true);
            }
        }
        Err(Refused::Unavailable(format!("WorkloadEntry {key} changes all the time")))
    }

    /// Writes that a workload is connected here; `false` if somebody else wrote at the same time.
    async fn adopt(
        &self,
        entries: &Api<DynamicObject>,
        key: &Key,
        workload: &Workload,
        standing: &DynamicObject,
        since: SystemTime,
    ) -> Result<bool, Refused> {
        self.check(workload, standing)?;
        let Some(entry) = entry::connected(standing, &self.0.options.instance, since) else {
            return Ok(true);
        };
        match entries.replace(&key.name, &PostParams::default(), &entry).await {
            Ok(_) => {
                self.0.counts.updates.inc();
                tracing::info!("WorkloadEntry {key}: its workload is connected here");
                Ok(true)
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(refused(key, &error)),
        }
    }

    /// Makes the entry of a member; `false` if somebody else made it at the same time.
    async fn create(
        &self,
        entries: &Api<DynamicObject>,
        key: &Key,
        workload: &Workload,
        group: &str,
        since: SystemTime,
    ) -> Result<bool, Refused> {
        let groups = objects::api(&self.0.client, Kind::WorkloadGroup, Some(&key.namespace));
        let Some(group) = groups.get_opt(group).await.map_err(|error| refused(key, &error))? else {
            let (proxy, namespace) = (&workload.proxy, &key.namespace);
            let why =
                format!("{proxy} is to be a member of WorkloadGroup {namespace}/{group}, which is not there");
            return Err(Refused::Precondition(why));
        };
        let entry = entry::from_group(&key.name, workload, &group);
        self.check(workload, &entry)?;
        let entry = entry::connected(&entry, &self.0.options.instance, since).unwrap_or(entry);
        match entries.create(&PostParams::default(), &entry).await {
            Ok(_) => {
                self.0.counts.successes.inc();
                tracing::info!("WorkloadEntry {key}: made for a workload that connected");
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(refused(key, &error)),
        }
    }

    fn check(&self, workload: &Workload, entry: &DynamicObject) -> Result<(), Refused> {
        if self.0.options.validates_identity {
            entry::may_stand_behind(workload.identity.as_ref(), entry)?;
        }
        Ok(())
    }
}

/// What a cluster's answer means for a workload: of an entry it does not take, that it is wrong.
fn refused(key: &Key, error: &kube::Error) -> Refused {
    let why = format!("WorkloadEntry {key}: {error}");
    match error {
        kube::Error::Api(status) if status.code == 422 => Refused::Precondition(why),
        _ => Refused::Unavailable(why),
    }
}
