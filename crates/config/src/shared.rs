//! Values that many objects have in common, kept once: names, label sets, the containers of equal pods.
//!
//! Ten thousand pods of a thousand deployments say the same few things over and over. What they say is looked up in a
//! pool when it is read; an equal value that somebody still holds is held by one more. A value that nobody holds any
//! longer leaves its pool when the pool next doubles. Whether a value is shared cannot be observed but by its memory.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hashbrown::HashSet;

use crate::decode::{Field, Node, Reader};
use crate::kubernetes::{Condition, Container, ReadinessGate};
use crate::labels::Labels;
use crate::object::Owner;
use crate::value::Value;

/// Below this many a pool is not searched for values that nobody holds.
const SMALL: usize = 1024;

/// All values of a type that are shared.
#[derive(Debug)]
pub struct Pool<T: ?Sized>(LazyLock<Mutex<Values<T>>>);

#[derive(Debug)]
struct Values<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many there may be before those nobody holds are let go.
    limit: usize,
}

impl<T: ?Sized + Hash + Eq> Pool<T> {
    /// An empty one, to be a `static`.
    #[expect(clippy::new_without_default, reason = "a pool that is not a static shares nothing")]
    pub const fn new() -> Self {
        Self(LazyLock::new(|| Mutex::new(Values { values: HashSet::new(), limit: SMALL })))
    }

    /// The value that is held already, or else the one that `make` gives, which must equal `value`, held from now on.
    pub fn one<Q: ?Sized + Hash + Eq>(&self, value: &Q, make: impl FnOnce() -> Arc<T>) -> Arc<T>
    where
        Arc<T>: Borrow<Q>,
    {
        // a pool is whole after every step: whoever panicked with it left it so
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = pool.values.get(value) {
            return Arc::clone(held);
        }
        if pool.values.len() >= pool.limit {
            pool.values.retain(|value| Arc::strong_count(value) > 1);
            let limit = SMALL.max(2 * pool.values.len());
            pool.values.shrink_to(limit);
            pool.limit = limit;
        }
        let value = make();
        pool.values.insert(Arc::clone(&value));
        value
    }
}

/// A text, shared with everybody who has the same.
pub fn text(text: &str) -> Arc<str> {
    static POOL: Pool<str> = Pool::new();
    if text.is_empty() { Arc::default() } else { POOL.one(text, || Arc::from(text)) }
}

/// A type whose equal values may be one.
pub trait Pooled: Hash + Eq + Default + 'static {
    /// Where they are.
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($ty:ty),* $(,)?) => { $(
        impl Pooled for $ty {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$ty> = Pool::new();
                &POOL
            }
        }
    )* };
}
pooled! {
    Labels,
    BTreeMap<Arc<str>, u32>,
    Vec<Condition>,
    Vec<Container>,
    Vec<Owner>,
    Vec<ReadinessGate>,
}

/// A value, shared with everybody who has the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Shared<T>(Arc<T>);

impl<T: Pooled> Shared<T> {
    /// Changes this one; those who shared the old value keep it.
    pub fn edit(&mut self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let mut value = T::clone(&self.0);
        change(&mut value);
        *self = value.into();
    }
}

impl<T: Pooled> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        let value = Arc::new(value);
        Self(T::pool().one(&value, || Arc::clone(&value)))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Pooled> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Pooled + Field> Field for Shared<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let mut value = T::default();
        value.read(node, reader);
        *self = value.into();
    }

    fn to_value(&self) -> Value {
        self.0.to_value()
    }

    fn is_absent(&self) -> bool {
        self.0.is_absent()
    }
}

impl Field for Arc<str> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match node.as_str() {
            Some(written) => *self = text(written),
            None => reader.mismatch(node, "a string"),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_others_are_not() {
        let labels = |app: &str| Shared::from(Labels::from_iter([("app".to_owned(), app.to_owned())]));
        let (first, mut second, other) = (labels("reviews"), labels("reviews"), labels("ratings"));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert!(!Arc::ptr_eq(&first.0, &other.0));
        assert!(Arc::ptr_eq(&text("reviews-v1"), &text("reviews-v1")));
        second.edit(|labels| {
            labels.insert("version".to_owned(), "v1".to_owned());
        });
        assert_eq!((first.len(), second.len()), (1, 2));
    }

    #[test]
    fn a_pool_lets_go_of_what_nobody_holds() {
        let pool = Pool::<str>::new();
        let held: Vec<_> = (0..10).map(|n| n.to_string()).map(|n| pool.one(&*n, || Arc::from(&*n))).collect();
        for n in 0..100 * SMALL {
            let n = n.to_string();
            pool.one(&*n, || Arc::from(&*n));
        }
        let kept = pool.0.lock().unwrap();
        assert!(kept.values.len() <= SMALL, "{}", kept.values.len());
        assert!(held.iter().all(|value| kept.values.contains(&**value)));
    }
}
