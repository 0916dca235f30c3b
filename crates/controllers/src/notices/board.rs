//! What is to be told, as far as anybody said something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{LONGEST, Topic, cut};

/// So much is remembered as wrong at a time; what comes on top of that is in the log alone.
const CAPACITY: usize = 4096;

/// What is wrong, or was, and how often that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) note: String,
    pub(super) told: i32,
    wrong: bool,
}

/// Where is said what is wrong with objects, and what not any more. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    standing: BTreeMap<Topic, Standing>,
    /// What was told and not written yet.
    touched: BTreeSet<Topic>,
    /// Whether it was said that there is more than is remembered.
    overflowed: bool,
}

impl Notices {
    /// Says that something is wrong, in a sentence for people. The last word on a topic counts; the same word again is
    /// counted as a repetition.
    pub fn tell(&self, topic: Topic, note: &str) {
        let note = cut(note, LONGEST).to_owned();
        let mut state = self.0.state.lock();
        if !state.standing.contains_key(&topic) && !state.make_room() {
            if !std::mem::replace(&mut state.overflowed, true) {
                tracing::warn!(
                    "{CAPACITY} things are wrong at a time: there are no events for more than that"
                );
            }
            return;
        }
        let fresh = Standing { note, told: 0, wrong: true };
        let standing = state.standing.entry(topic.clone()).or_insert_with(|| fresh.clone());
        if standing.note != fresh.note {
            *standing = fresh;
        }
        (standing.wrong, standing.told) = (true, standing.told.saturating_add(1));
        state.touched.insert(topic);
        drop(state);
        self.0.news.notify_one();
    }

    /// Says that something is not wrong any more. What was written stays; the cluster forgets events by itself.
    pub fn withdraw(&self, topic: &Topic) {
        let mut state = self.0.state.lock();
        if let Some(standing) = state.standing.get_mut(topic) {
            (standing.wrong, state.overflowed) = (false, false);
        }
        state.touched.remove(topic);
    }

    /// All that is wrong; none of it is news after that.
    pub(super) fn all(&self) -> Vec<Topic> {
        let mut state = self.0.state.lock();
        state.touched.clear();
        let wrong = state.standing.iter().filter(|(_, standing)| standing.wrong);
        wrong.map(|(topic, _)| topic.clone()).collect()
    }

    /// Waits until something is said, and gives what it is about.
    pub(super) async fn touched(&self) -> BTreeSet<Topic> {
        loop {
            let touched = std::mem::take(&mut self.0.state.lock().touched);
            if !touched.is_empty() {
                return touched;
            }
            self.0.news.notified().await;
        }
    }

    pub(super) fn look(&self, topic: &Topic) -> Option<Standing> {
        self.0.state.lock().standing.get(topic).filter(|standing| standing.wrong).cloned()
    }
}

impl State {
    /// Whether there is room for one more; what is not wrong any more is forgotten for it.
    fn make_room(&mut self) -> bool {
        if self.standing.len() >= CAPACITY {
            self.standing.retain(|_, standing| standing.wrong);
        }
        self.standing.len() < CAPACITY
    }
}

#[cfg(test)]
mod tests {
    use super::super::Regarding;
    use super::*;

    fn topic(name: usize) -> Topic {
        let regarding = Regarding {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: "n".to_owned(),
            name: name.to_string(),
            uid: String::new(),
        };
        Topic { regarding, reason: "Refused", part: String::new() }
    }

    #[test]
    fn the_last_word_counts_and_the_same_word_is_counted() {
        let notices = Notices::default();
        for note in ["one", "two", "two"] {
            notices.tell(topic(1), note);
        }
        let told = |notices: &Notices| notices.look(&topic(1)).map(|standing| (standing.note, standing.told));
        assert_eq!(told(&notices), Some(("two".to_owned(), 2)));
        notices.withdraw(&topic(1));
        assert_eq!((told(&notices), notices.all()), (None, Vec::new()));
        notices.tell(topic(1), "two");
        assert_eq!(
            told(&notices),
            Some(("two".to_owned(), 3)),
            "a repetition, though it was right in between"
        );
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let notices = Notices::default();
        (0..=CAPACITY).for_each(|name| notices.tell(topic(name), "x"));
        assert_eq!(notices.all().len(), CAPACITY);
        assert_eq!(notices.look(&topic(CAPACITY)), None);
        notices.withdraw(&topic(7));
        notices.tell(topic(CAPACITY), "x");
        assert!(notices.look(&topic(CAPACITY)).is_some(), "what is put right makes room");
    }
}
