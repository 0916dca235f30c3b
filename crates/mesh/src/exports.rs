//! `exportTo` as rows hold it: defaulted, and said in one way only.

use std::collections::BTreeSet;

use config::Visibility;

/// What the words of an `exportTo` mean for an object of `namespace`, `default` standing in for no word at all.
///
/// Empty: everybody. `{None}`: nobody. Otherwise `Private` (never the object's own namespace by name) and names of
/// other namespaces. As pilot/pkg/model/push_context.go, where `*` wins over everything and then `~` does.
pub(crate) fn audience<'w>(
    words: impl IntoIterator<Item = &'w str>,
    default: &[String],
    namespace: &str,
) -> BTreeSet<Visibility> {
    let mut said: BTreeSet<Visibility> = words.into_iter().map(Visibility::parse).collect();
    if said.is_empty() {
        said = default.iter().map(|w| Visibility::parse(w)).collect();
    }
    said_once(said, namespace)
}

/// The same for words that are already read and need no default.
pub(crate) fn said_once(said: BTreeSet<Visibility>, namespace: &str) -> BTreeSet<Visibility> {
    if said.contains(&Visibility::Public) {
        return BTreeSet::new();
    }
    if said.contains(&Visibility::None) {
        return BTreeSet::from([Visibility::None]);
    }
    said.into_iter()
        .map(|v| match v {
            Visibility::Namespace(n) if *n == *namespace => Visibility::Private,
            other => other,
        })
        .collect()
}

/// Whether something of `owner` with this audience may be seen from `viewer`.
#[must_use]
pub fn is_visible(audience: &BTreeSet<Visibility>, owner: &str, viewer: &str) -> bool {
    audience.is_empty()
        || audience.iter().any(|v| match v {
            Visibility::Public => true,
            Visibility::Private => owner == viewer,
            Visibility::Namespace(n) => **n == *viewer,
            Visibility::None => false,
        })
}
