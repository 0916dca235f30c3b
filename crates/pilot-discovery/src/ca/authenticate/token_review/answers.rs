//! What was said of tokens, for a moment.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::Key;
use super::review::Verdict;

/// Answers of one kind that are kept, twice this many at most: the ones before go when these are full.
const ROOM: usize = 8192;

/// The memory. Refusals have a room of their own, so that strangers with many tokens drive nobody out.
#[derive(Debug, Default)]
pub(super) struct Answers {
    believed: Room,
    refused: Room,
}

/// Two generations: a bound without order or sweeps.
#[derive(Debug, Default)]
struct Room {
    young: HashMap<Key, Answer>,
    old: HashMap<Key, Answer>,
}

#[derive(Debug)]
struct Answer {
    verdict: Verdict,
    from: SystemTime,
    until: SystemTime,
}

impl Answers {
    /// What is remembered at `now`. A clock that was set back makes us forget rather than remember for longer.
    pub(super) fn find(&self, key: &Key, now: SystemTime) -> Option<Verdict> {
        [&self.believed, &self.refused].into_iter().find_map(|room| room.find(key, now))
    }

    /// Remembers what was said, from `now` on for `lifetime`.
    pub(super) fn remember(&mut self, key: Key, verdict: &Verdict, now: SystemTime, lifetime: Duration) {
        let until = now.checked_add(lifetime).unwrap_or(now);
        if until <= now {
            return;
        }
        let room = if verdict.is_ok() { &mut self.believed } else { &mut self.refused };
        room.insert(key, Answer { verdict: verdict.clone(), from: now, until });
    }
}

impl Room {
    fn find(&self, key: &Key, now: SystemTime) -> Option<Verdict> {
        let answer = self.young.get(key).or_else(|| self.old.get(key))?;
        (answer.from <= now && now < answer.until).then(|| answer.verdict.clone())
    }

    fn insert(&mut self, key: Key, answer: Answer) {
        if self.young.len() >= ROOM {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, answer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::review::Account;
    use super::*;
    use crate::ca::Reason;

    fn key(number: usize) -> Key {
        let mut key = Key::default();
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn an_answer_is_remembered_for_its_lifetime_and_not_before_it_was_given() {
        let (mut answers, now) = (Answers::default(), UNIX_EPOCH + Duration::from_secs(1000));
        let yes: Verdict = Ok(Account { namespace: "a".into(), name: "b".into(), pod: None });
        answers.remember(key(1), &yes, now, Duration::from_secs(10));
        answers.remember(key(2), &yes, now, Duration::ZERO);
        let at = |key: &Key, seconds| answers.find(key, UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(&key(1), 1009), Some(yes));
        assert_eq!((at(&key(1), 1010), at(&key(1), 999), at(&key(2), 1000)), (None, None, None));
    }

    #[test]
    fn many_refusals_take_bounded_room_and_drive_out_nobody_believed() {
        let (mut answers, now) = (Answers::default(), UNIX_EPOCH);
        let yes: Verdict = Ok(Account { namespace: "a".into(), name: "b".into(), pod: None });
        let no: Verdict = Err(Reason::Unproven("no".to_owned()));
        answers.remember(key(0), &yes, now, Duration::from_secs(10));
        for number in 1..=5 * ROOM {
            answers.remember(key(number), &no, now, Duration::from_secs(10));
        }
        assert!(answers.find(&key(0), now).is_some());
        assert!(answers.find(&key(5 * ROOM), now).is_some());
        assert!(answers.find(&key(1), now).is_none());
        assert!(answers.refused.young.len() + answers.refused.old.len() <= 2 * ROOM);
    }
}
