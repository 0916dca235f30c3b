//! What a lock says of its holder, in the words that upstream's replicas read and write.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a ConfigMap keeps the record.
pub(super) const RECORD: &str = "control-plane.alpha.kubernetes.io/leader";

/// Where a Lease keeps the key of its holder, for which its fields have no room.
pub(super) const HOLDER_KEY: &str = "leader.istio.io/holder-key";

/// The holder of a lock (as pilot/pkg/leaderelection/k8sleaderelection/k8sresourcelock: `LeaderElectionRecord`).
///
/// Its times are for people and for the next leader's record: nobody decides by another machine's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Record {
    /// The pod that holds the lock; empty when nobody does.
    pub(super) holder_identity: String,
    /// Its revision, after `^` if it runs outside the cluster; what decides who may take the lock away.
    pub(super) holder_key: String,
    /// How long others wait for a sign of life.
    pub(super) lease_duration_seconds: i64,
    /// Since when it leads; RFC 3339 in whole seconds.
    pub(super) acquire_time: Option<String>,
    /// Its last sign of life.
    pub(super) renew_time: Option<String>,
    /// How often the lock changed hands.
    pub(super) leader_transitions: i64,
}

impl Record {
    /// What is written on giving the lock back (as k8sleaderelection/leaderelection.go: `release`).
    pub(super) fn released(self, now: SystemTime) -> Self {
        let now = written(now);
        Self {
            holder_identity: String::new(),
            holder_key: String::new(),
            lease_duration_seconds: 1,
            acquire_time: now.clone(),
            renew_time: now,
            leader_transitions: self.leader_transitions,
        }
    }

    /// The text of a ConfigMap's annotation.
    pub(super) fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// A time as a record has it; nothing for one that no calendar knows.
pub(super) fn written(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As Go's encoder writes it.
    const UPSTREAMS: &str = concat!(
        r#"{"holderIdentity":"istiod-7d4f8b9c6-x2x7z","holderKey":"1-31","leaseDurationSeconds":30,"#,
        r#""acquireTime":"2026-11-22T08:15:30Z","renewTime":"2026-11-22T08:20:00Z","leaderTransitions":4}"#
    );

    #[test]
    fn a_record_of_upstream_is_read_and_written_byte_for_byte() {
        let record: Record = serde_json::from_str(UPSTREAMS).unwrap();
        assert_eq!(record.holder_key, "1-31");
        assert_eq!(record.leader_transitions, 4);
        assert_eq!(record.text(), UPSTREAMS);
    }

    #[test]
    fn records_of_other_ages_are_read() {
        let old: Record =
            serde_json::from_str(r#"{"holderIdentity":"a","renewTime":null,"more":1}"#).unwrap();
        assert_eq!((old.holder_identity.as_str(), old.holder_key.as_str()), ("a", ""));
        assert_eq!(old.renew_time, None);
    }

    #[test]
    fn a_lock_given_back_names_nobody_and_counts_on() {
        let record: Record = serde_json::from_str(UPSTREAMS).unwrap();
        let released = record.released(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
        let expected = concat!(
            r#"{"holderIdentity":"","holderKey":"","leaseDurationSeconds":1,"#,
            r#""acquireTime":"1970-01-01T00:00:01Z","renewTime":"1970-01-01T00:00:01Z","leaderTransitions":4}"#
        );
        assert_eq!(released.text(), expected);
    }
}
