//! Which workloads are connected here, and what is still to be written of those that were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::workload::{Health, Role, Workload};
use crate::mirror::Key;

/// A workload that is connected, by one connection or several.
#[derive(Debug, Clone)]
pub(super) struct Present {
    pub(super) workload: Arc<Workload>,
    pub(super) role: Role,
    /// When its newest connection began.
    pub(super) since: SystemTime,
    open: BTreeSet<u64>,
}

/// What is still to be written into an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pending {
    /// The last connection ended: when it had begun, and when it ended.
    pub(super) left: Option<(SystemTime, SystemTime)>,
    /// What the agent last found.
    pub(super) health: Option<Health>,
}

/// The connections of this instance, by the entries of their workloads.
#[derive(Debug, Default)]
pub(super) struct Connections {
    present: BTreeMap<Key, Present>,
    entries: BTreeMap<u64, Key>,
    pending: BTreeMap<Key, Pending>,
    last: u64,
}

impl Connections {
    /// Adds a connection, and gives its number.
    pub(super) fn open(&mut self, key: Key, role: Role, workload: Arc<Workload>, since: SystemTime) -> u64 {
        self.last += 1;
        let number = self.last;
        let newest = Present { workload, role, since, open: BTreeSet::new() };
        let present = self.present.entry(key.clone()).or_insert_with(|| newest.clone());
        if since >= present.since {
            let open = std::mem::take(&mut present.open);
            *present = Present { open, ..newest };
        }
        present.open.insert(number);
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.left = None;
        }
        self.entries.insert(number, key);
        number
    }

    /// Ends a connection. If it was the workload's last, that is to be written, and its entry is given.
    pub(super) fn close(&mut self, number: u64, now: SystemTime) -> Option<Key> {
        let key = self.entries.remove(&number)?;
        let present = self.present.get_mut(&key)?;
        present.open.remove(&number);
        if !present.open.is_empty() {
            return None;
        }
        let since = present.since;
        self.present.remove(&key);
        self.left(key, since, now)
    }

    /// Takes note that an entry may say of a workload that it is connected since then, and is not to. If it is connected,
    /// by whatever connection, nothing is to be written.
    pub(super) fn left(&mut self, key: Key, since: SystemTime, now: SystemTime) -> Option<Key> {
        if self.present.contains_key(&key) {
            return None;
        }
        self.pending.entry(key.clone()).or_default().left = Some((since, now));
        Some(key)
    }

    /// Whether nobody is connected and nothing is to be written.
    pub(super) fn is_settled(&self) -> bool {
        self.present.is_empty() && self.pending.is_empty()
    }

    /// Takes note of a report, and gives the entry it is to be written into. The newest counts.
    pub(super) fn report(&mut self, number: u64, health: Health) -> Option<Key> {
        let key = self.entries.get(&number)?;
        let pending = self.pending.entry(key.clone()).or_default();
        if pending.health.as_ref().is_none_or(|before| before.at <= health.at) {
            pending.health = Some(health);
        }
        Some(key.clone())
    }

    pub(super) fn present(&self, key: &Key) -> Option<&Present> {
        self.present.get(key)
    }

    pub(super) fn pending(&self, key: &Key) -> Pending {
        self.pending.get(key).cloned().unwrap_or_default()
    }

    /// Takes note that this was written; what was said since stays.
    pub(super) fn settled(&mut self, key: &Key, written: &Pending) {
        if self.pending.get(key) == Some(written) {
            self.pending.remove(key);
        }
    }

    /// The entries of the members of a group that are connected.
    pub(super) fn members(&self, group: &Key) -> Vec<Key> {
        let is_member = |key: &Key, present: &Present| {
            key.namespace == group.namespace && present.role == Role::Member(group.name.clone())
        };
        let all = self.present.iter();
        all.filter(|(key, present)| is_member(key, present)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_workload_has_left_with_its_last_connection_and_as_of_its_newest() {
        let mut connections = Connections::default();
        let key = Key::new("vms", "db-10.0.0.1");
        let mut open = |second| {
            let role = Role::Member("db".to_owned());
            connections.open(key.clone(), role, Arc::default(), at(second))
        };
        let (old, new) = (open(1), open(5));
        assert_eq!(connections.members(&Key::new("vms", "db")), std::slice::from_ref(&key));
        assert!(connections.members(&Key::new("other", "db")).is_empty());
        // in an order that must not matter
        assert_eq!(connections.close(new, at(6)), None);
        assert_eq!(connections.close(old, at(7)), Some(key.clone()));
        let left = connections.pending(&key);
        assert_eq!(left.left, Some((at(5), at(7))));
        assert_eq!(connections.close(old, at(8)), None, "once");
        assert!(connections.present(&key).is_none());
        // back before it was written
        connections.open(key.clone(), Role::Member("db".to_owned()), Arc::default(), at(9));
        assert_eq!(connections.pending(&key).left, None);
        connections.settled(&key, &left);
        assert_eq!(connections.left(key.clone(), at(2), at(9)), None, "it is connected");
        connections.settled(&key, &Pending::default());
        assert!(connections.pending.is_empty() && !connections.is_settled());
        // somebody of whom it is not known whether it was written that it is connected
        let other = Key::new("vms", "db-10.0.0.2");
        assert_eq!(connections.left(other.clone(), at(2), at(9)), Some(other.clone()));
        assert_eq!(connections.pending(&other).left, Some((at(2), at(9))));
    }

    #[test]
    fn of_reports_the_newest_counts_and_what_came_while_one_was_written_stays() {
        let mut connections = Connections::default();
        let key = Key::new("vms", "db");
        let number = connections.open(key.clone(), Role::Behind("db".to_owned()), Arc::default(), at(1));
        let health = |second| Health { is_healthy: second > 2, message: String::new(), at: at(second) };
        assert_eq!(connections.report(number, health(3)), Some(key.clone()));
        connections.report(number, health(2));
        let writing = connections.pending(&key);
        assert_eq!(writing.health, Some(health(3)));
        connections.report(number, health(4));
        connections.settled(&key, &writing);
        assert_eq!(connections.pending(&key).health, Some(health(4)));
        assert_eq!(connections.report(77, health(4)), None, "of nobody");
    }
}
