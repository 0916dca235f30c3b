//! Who reads one cell: a few, kept in a line, or many, kept in a set.

use std::hash::Hash;

use smallvec::SmallVec;

use crate::reads::Set;

/// Above this many a line is slower to search than a set.
const LINE: usize = 24;

/// A set of readers that is small when they are few. A reader is in it at most once.
#[derive(Debug, Clone)]
pub(crate) enum Readers<T> {
    Few(SmallVec<[T; 2]>),
    Many(Box<Set<T>>),
}

impl<T> Default for Readers<T> {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl<T: Eq + Hash + Clone> Readers<T> {
    pub(crate) fn insert(&mut self, reader: T) {
        match self {
            Self::Few(line) => {
                if line.contains(&reader) {
                    return;
                }
                line.push(reader);
                if line.len() > LINE {
                    *self = Self::Many(Box::new(line.drain(..).collect()));
                }
            }
            Self::Many(set) => {
                set.insert(reader);
            }
        }
    }

    pub(crate) fn remove(&mut self, reader: &T) {
        match self {
            Self::Few(line) => {
                if let Some(at) = line.iter().position(|r| r == reader) {
                    line.swap_remove(at);
                    if line.spilled() && line.len() <= 2 {
                        line.shrink_to_fit();
                    }
                }
            }
            Self::Many(set) => {
                set.remove(reader);
                if set.len() < LINE / 2 {
                    *self = Self::Few(set.drain().collect());
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(line) => line.is_empty(),
            Self::Many(set) => set.is_empty(),
        }
    }

    pub(crate) fn each(&self, mut visit: impl FnMut(&T)) {
        match self {
            Self::Few(line) => line.iter().for_each(&mut visit),
            Self::Many(set) => set.iter().for_each(&mut visit),
        }
    }
}
