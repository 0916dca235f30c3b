//! Who may see an object: what `exportTo` says.

use std::collections::BTreeSet;

/// One word of `exportTo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// `*`: every namespace.
    Public,
    /// `.`: the namespace of the object.
    Private,
    /// `~`: nobody; only services may say so.
    None,
    /// The namespace of this name.
    Namespace(String),
}

impl Visibility {
    /// Reads one word.
    pub fn parse(word: &str) -> Self {
        match word {
            "*" => Self::Public,
            "." => Self::Private,
            "~" => Self::None,
            namespace => Self::Namespace(namespace.to_owned()),
        }
    }
}

/// The namespaces that may see an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Audience {
    /// Every namespace.
    #[default]
    Everybody,
    /// These namespaces; none if it is empty.
    Only(BTreeSet<String>),
}

impl Audience {
    /// The audience of an object of `namespace` whose `exportTo` is `words`; no word at all means `default`.
    pub fn of(words: &[String], default: &[String], namespace: &str) -> Self {
        let words = if words.is_empty() { default } else { words };
        if words.is_empty() {
            return Self::Everybody;
        }
        let words: Vec<Visibility> = words.iter().map(|word| Visibility::parse(word)).collect();
        // `*` wins over all that stands beside it, then `~` does
        if words.contains(&Visibility::Public) {
            return Self::Everybody;
        }
        if words.contains(&Visibility::None) {
            return Self::Only(BTreeSet::new());
        }
        let names = words.into_iter().filter_map(|word| match word {
            Visibility::Private => Some(namespace.to_owned()),
            Visibility::Namespace(name) => Some(name),
            Visibility::Public | Visibility::None => None,
        });
        Self::Only(names.collect())
    }

    /// Whether objects and workloads of a namespace may see it.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Audience;

    #[test]
    fn an_audience_is_what_the_words_say_or_the_default() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let cases = [
            (words(&[]), words(&["*"]), "other", true),
            (words(&[]), words(&["."]), "other", false),
            (words(&[]), words(&["."]), "own", true),
            (words(&["."]), words(&["*"]), "other", false),
            (words(&[".", "*"]), words(&[]), "other", true),
            (words(&["other"]), words(&[]), "own", false),
            (words(&["other"]), words(&[]), "other", true),
            (words(&["~"]), words(&[]), "own", false),
            (words(&["~", "own"]), words(&[]), "own", false),
            (words(&["~", "*"]), words(&[]), "own", true),
            (words(&[]), words(&[]), "other", true),
        ];
        for (export, default, viewer, want) in cases {
            assert_eq!(Audience::of(&export, &default, "own").includes(viewer), want, "{export:?} {viewer}");
        }
    }
}
