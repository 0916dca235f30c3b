//! Labels and the selectors that pick objects by them.

use litemap::LiteMap;

use crate::mesh::LabelSelector;

/// The labels of an object.
pub type Labels = LiteMap<String, String>;

/// Whether every label of `selector` is there with the same value; an empty selector takes everything.
///
/// As `pkg/config/labels/instance.go: SubsetOf`.
pub fn subset_of(selector: &Labels, labels: &Labels) -> bool {
    selector.len() <= labels.len() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Like [`subset_of`], but an empty selector takes nothing, as the selector of a service does.
///
/// As `pkg/config/labels/instance.go: Match`.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && subset_of(selector, labels)
}

/// Whether a selector with expressions takes an object; an empty one takes everything.
///
/// An operator or a list of values that Kubernetes would refuse takes nothing.
pub fn selector_matches(selector: &LabelSelector, labels: &Labels) -> bool {
    subset_of(&selector.match_labels, labels)
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.contains(value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !expression.values.is_empty() && !listed,
                "Exists" => expression.values.is_empty() && value.is_some(),
                "DoesNotExist" => expression.values.is_empty() && value.is_none(),
                _ => false,
            }
        })
}

/// Whether any of the selectors takes an object; no selector at all takes everything.
pub fn any_selector_matches(selectors: &[LabelSelector], labels: &Labels) -> bool {
    selectors.is_empty() || selectors.iter().any(|selector| selector_matches(selector, labels))
}

/// Whether a text is one label of a DNS name as Istio allows it (upper case too), at most 63 long.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let bytes = text.as_bytes();
    matches!(bytes, [first, .., last] if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.len() <= 63
        && bytes.iter().copied().all(inner)
        || matches!(bytes, [only] if only.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
