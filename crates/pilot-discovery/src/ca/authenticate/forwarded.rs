//! Authentication by `x-forwarded-client-cert`: a trusted gateway ended the caller's TLS connection and says who it was.

use std::net::IpAddr;
use std::time::SystemTime;

use futures_util::future::{BoxFuture, ready};
use identity::spiffe::Id;
use ipnet::IpNet;

use super::{Authenticator, Caller, Peer, Reason, Source};

/// Believes the header when it comes from the networks of `TRUSTED_GATEWAY_CIDR`, or from this machine. Only to be put into
/// a chain when that variable is set. As security/pkg/server/ca/authenticate/xfcc_authenticator.go, but only the last
/// element of the header counts: the ones before it are what others told the gateway.
#[derive(Debug, Clone, Default)]
pub struct ForwardedCertificate {
    trusted: Vec<IpNet>,
}

impl ForwardedCertificate {
    /// Trusts the networks of a comma-separated list; items that are no networks are given back to be told.
    #[must_use]
    pub fn new(list: &str) -> (Self, Vec<String>) {
        let (mut trusted, mut wrong) = (Vec::new(), Vec::new());
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.parse() {
                Ok(network) => trusted.push(network),
                Err(_) => wrong.push(item.to_string()),
            }
        }
        (Self { trusted }, wrong)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.trusted.iter().any(|network| network.contains(&address))
    }

    fn check(&self, peer: &Peer) -> Result<Caller, String> {
        let header = peer.forwarded.as_deref().ok_or("no x-forwarded-client-cert header")?;
        let address = peer.address.ok_or("the caller's address is not known")?.ip();
        if !self.trusts(address) {
            return Err(format!("caller from {address} is not in the trusted network"));
        }
        let malformed = || "the x-forwarded-client-cert header is malformed".to_string();
        let last = split(header, ',').and_then(|mut parts| parts.pop()).ok_or_else(malformed)?;
        let pairs = split(last, ';').ok_or_else(malformed)?;
        let pairs = pairs.into_iter().filter_map(|pair| pair.trim().split_once('='));
        let uris = pairs.filter(|(key, _)| key.eq_ignore_ascii_case("uri")).map(|(_, value)| value);
        let identities: std::collections::BTreeSet<Id> =
            uris.filter_map(|uri| uri.trim_matches('"').parse().ok()).collect();
        if identities.is_empty() {
            return Err("the forwarded certificate carries no SPIFFE identity".to_string());
        }
        Ok(Caller { identities, source: Source::ClientCertificate, pod: None })
    }
}

/// Splits at `separator` where it is not within double quotes; `None` if a quote is not closed. What a caller told the
/// gateway stands before what the gateway appended: an open quote there would swallow the gateway's word.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (place, c) in text.char_indices() {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        if c == separator && !quoted {
            parts.push(&text[start..place]);
            start = place + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

impl Authenticator for ForwardedCertificate {
    fn name(&self) -> &'static str {
        "XfccAuthenticator"
    }

    fn authenticate<'a>(&'a self, peer: &'a Peer, _: SystemTime) -> BoxFuture<'a, Result<Caller, Reason>> {
        Box::pin(ready(self.check(peer).map_err(Reason::Unproven)))
    }
}
