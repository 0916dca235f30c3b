//! Trust domains that mean the same mesh: principals of one are let in under the names of all
//! (as pilot/pkg/security/trustdomain).

/// What `cluster.local` stands for in principals, whatever the mesh is called.
const LOCAL: &str = "cluster.local";

/// The mesh's trust domain, then its aliases.
pub(super) struct TrustDomains<'a>(Vec<&'a str>);

impl<'a> TrustDomains<'a> {
    /// Of these names.
    pub(super) fn new(own: &'a str, aliases: &'a [String]) -> Self {
        Self(std::iter::once(own).chain(aliases.iter().map(String::as_str)).collect())
    }

    /// Each principal under every name of the mesh; one that says nothing of a trust domain, or names a foreign one,
    /// stays (as `ReplaceTrustDomainAliases`).
    pub(super) fn principals(&self, written: &[String]) -> Vec<String> {
        let mut out = Vec::with_capacity(written.len());
        for principal in written {
            match split(principal) {
                Some((domain, rest)) if domain == LOCAL || self.0.iter().any(|own| alike(domain, own)) => {
                    out.extend(self.renamed(principal, domain, rest));
                }
                _ => out.push(principal.clone()),
            }
        }
        out
    }

    fn renamed(&self, principal: &str, domain: &str, rest: &str) -> Vec<String> {
        let mut out: Vec<String> = Vec::with_capacity(self.0.len());
        for own in &self.0 {
            let name = if has_suffix(own, domain) { principal.to_owned() } else { format!("{own}/{rest}") };
            if !out.contains(&name) {
                out.push(name);
            }
        }
        out
    }

    /// One of the mesh's trust domains means all of them (as `ExpandTrustDomainAliases`).
    pub(super) fn domains(&self, written: &[String]) -> Vec<String> {
        let mut out: Vec<String> = Vec::with_capacity(written.len());
        let mut add = |name: &str| {
            if !out.iter().any(|have| have == name) {
                out.push(name.to_owned());
            }
        };
        for domain in written {
            if self.0.contains(&domain.as_str()) {
                self.0.iter().for_each(|own| add(own));
            } else {
                add(domain);
            }
        }
        out
    }
}

/// The trust domain of `DOMAIN/ns/NAMESPACE/sa/ACCOUNT` and what follows it; `None` for other forms and for any domain.
fn split(principal: &str) -> Option<(&str, &str)> {
    let (domain, rest) = principal.split_once('/')?;
    (rest.split('/').count() == 4 && domain != "*").then_some((domain, rest))
}

/// Whether one is the other, `*` at either end of either standing for anything.
fn alike(a: &str, b: &str) -> bool {
    a == b || b == "*" || has_prefix(a, b) || has_prefix(b, a) || has_suffix(a, b) || has_suffix(b, a)
}

fn has_prefix(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|p| name.starts_with(p))
}

fn has_suffix(name: &str, pattern: &str) -> bool {
    pattern.strip_prefix('*').is_some_and(|p| name.ends_with(p))
}
