//! What became of objects of an API server as they were read, for those who tell the people who wrote them.

use std::sync::Arc;

use config::{Kind, Problem};

/// An object of our own cluster, as others refer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Regarded {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty if its kind has none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its unique id; empty if that is not known.
    pub uid: String,
}

/// Whether what an object says has effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It has.
    Accepted,
    /// It has not.
    Refused {
        /// Whether the last good version stays in its place.
        kept: bool,
    },
    /// The object is gone, or somebody else's.
    Gone,
}

/// What became of an object in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub object: Regarded,
    /// What of the object it is about, where there are several verdicts on one; else empty.
    pub part: String,
    /// Its `metadata.generation`; 0 if it has none.
    pub generation: i64,
    /// What became of it.
    pub ruling: Ruling,
    /// Why it is refused.
    pub problems: Vec<Problem>,
    /// The types of the conditions in its status.
    pub conditions: Vec<String>,
}

impl Verdict {
    /// On an object without generation, conditions or problems.
    #[must_use]
    pub fn new(object: Regarded, ruling: Ruling) -> Self {
        let (problems, conditions) = (Vec::new(), Vec::new());
        Self { object, part: String::new(), generation: 0, ruling, problems, conditions }
    }

    /// Of an object that is gone.
    #[must_use]
    pub fn gone(kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> Self {
        let object = Regarded { kind, namespace: namespace.clone(), name: name.clone(), uid: String::new() };
        Self::new(object, Ruling::Gone)
    }
}
