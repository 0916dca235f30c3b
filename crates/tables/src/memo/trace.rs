//! Explaining an answer: its builders run once more from nothing, on the same snapshot, and what they say about it is
//! collected. Nothing of this is kept, and nothing is looked up in the memos.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
    fmt,
    rc::Rc,
    sync::Arc,
};

use super::{Ask, Asking, Memos, Snapshot};
use crate::reads::{Map, hash_of};

/// What builders say while an answer is explained: notes of any type, in the order in which they are said.
///
/// A builder gets it by [`crate::Reads::trace`]; at any other time there is none, and saying nothing costs one comparison.
#[derive(Default)]
pub struct Trace {
    notes: RefCell<Vec<Box<dyn Any>>>,
    /// Asks answered so far, by the hash of the question, with answer and digest: each is built once.
    built: RefCell<Map<(TypeId, u64), Vec<Built>>>,
}

/// A question, and its answer with the digest.
type Built = (Box<dyn Any>, Box<dyn Any>);

/// A moment of a [`Trace`]; by default its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(usize);

impl Trace {
    /// Says something. What an ask says is said once, however often it is asked: so it must not depend on who asks.
    pub fn say<N: Any>(&self, note: N) {
        self.notes.borrow_mut().push(Box::new(note));
    }

    /// Now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.notes.borrow().len())
    }

    /// Takes back the notes of type `N` said since `mark`, in order.
    #[must_use]
    pub fn take<N: Any>(&self, mark: Mark) -> Vec<N> {
        let mut notes = self.notes.borrow_mut();
        let from = mark.0.min(notes.len());
        let since = notes.split_off(from);
        let mut out = Vec::with_capacity(since.len());
        for note in since {
            match note.downcast::<N>() {
                Ok(note) => out.push(*note),
                Err(other) => notes.push(other),
            }
        }
        out
    }

    fn known<A: Ask>(&self, ask: &A) -> Option<(Arc<A::Out>, u64)> {
        let built = self.built.borrow();
        let same = built.get(&(TypeId::of::<A>(), hash_of(ask)))?;
        let found = same.iter().find(|(question, _)| question.downcast_ref::<A>() == Some(ask));
        found.and_then(|(_, answer)| answer.downcast_ref::<(Arc<A::Out>, u64)>().cloned())
    }

    fn keep<A: Ask>(&self, ask: &A, answer: (Arc<A::Out>, u64)) {
        let key = (TypeId::of::<A>(), hash_of(ask));
        let kept: Built = (Box::new(ask.clone()), Box::new(answer));
        self.built.borrow_mut().entry(key).or_default().push(kept);
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("notes", &self.notes.borrow().len()).finish_non_exhaustive()
    }
}

/// An answer, and what was said while it was built.
#[derive(Debug)]
pub struct Explained<T> {
    /// The answer.
    pub out: Arc<T>,
    /// Its digest: that of the memo for the same ask on the same snapshot, or one of both is wrong.
    pub digest: u64,
    /// The notes of its builder, and of the builders of every ask below.
    pub trace: Trace,
}

impl<W: Snapshot> Memos<W> {
    /// Builds the answer to an ask, and those to all asks below it, with a trace. The memos are neither read nor
    /// changed: what is served does not depend on what is explained.
    pub fn explain<A: Ask<World = W>>(&self, world: &Arc<W>, ask: &A) -> Explained<A::Out> {
        let trace = Rc::new(Trace::default());
        let (out, digest) = self.traced(world, ask, &trace);
        let trace = Rc::into_inner(trace).unwrap_or_default(); // nobody else holds it: builders give it back
        Explained { out, digest, trace }
    }

    /// The answer to an ask that a traced builder asks.
    pub(super) fn traced<A: Ask<World = W>>(
        &self,
        world: &Arc<W>,
        ask: &A,
        trace: &Rc<Trace>,
    ) -> (Arc<A::Out>, u64) {
        if let Some(known) = trace.known(ask) {
            return known;
        }
        let asking = Asking::traced(self, world, trace.clone());
        let out = Arc::new(ask.build(&asking));
        let digest = A::digest(&out);
        trace.keep(ask, (out.clone(), digest));
        (out, digest)
    }
}

#[cfg(test)]
mod tests;
