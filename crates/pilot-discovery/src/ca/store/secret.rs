//! An authority in a Secret of the control plane's namespace, for all its replicas, and for an istiod before or after us.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use identity::authority;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::api::{GetParams, PostParams, Request};
use tokio::runtime::Handle;

use super::{Store, Texts};
use crate::ca::state::Error;

#[cfg(test)]
mod tests;

/// The Secret of a self-signed root (as security/pkg/pki/ca/ca.go: CASecret).
const OWN: &str = controllers::charge::SELF_SIGNED;
/// The Secret of operators, which may hold a self-signed root as well (CACertsSecret).
const CACERTS: &str = controllers::charge::PLUGGED_IN;
/// The key that marks the latter as ours (IstioGenerated).
pub(in crate::ca) const GENERATED: &str = "istio-generated";
/// Its type.
const TYPE: &str = "istio.io/ca-root";
/// An API server that has not answered by then is taken for one that is away.
const LIMIT: Duration = Duration::from_secs(20);

/// The Secret. Its methods are not for async workers: they wait for the API server.
pub struct InSecret {
    client: kube::Client,
    namespace: String,
    cacerts: bool,
    runtime: Handle,
}

impl fmt::Debug for InSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InSecret({:?})", self.place())
    }
}

impl InSecret {
    /// The Secret `istio-ca-secret` of a namespace; with `cacerts` (`USE_CACERTS_FOR_SELF_SIGNED_CA`) the Secret of that name
    /// if the other is not there. The requests are made on `runtime`.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, cacerts: bool, runtime: Handle) -> Self {
        Self { client, namespace: namespace.to_owned(), cacerts, runtime }
    }

    /// Where it is looked for, in this order; a new one gets the last name.
    fn names(&self) -> &'static [&'static str] {
        if self.cacerts { &[OWN, CACERTS] } else { &[OWN] }
    }

    fn name_of_new(&self) -> &'static str {
        if self.cacerts { CACERTS } else { OWN }
    }

    fn find(&self) -> Result<Option<(&'static str, Secret)>, Error> {
        for name in self.names() {
            if let Some(secret) = self.get(name)? {
                return Ok(Some((name, secret)));
            }
        }
        Ok(None)
    }

    fn get(&self, name: &str) -> Result<Option<Secret>, Error> {
        match self.ask(self.requests().get(name, &GetParams::default()))? {
            Answer::Secret(secret) => Ok(Some(*secret)),
            Answer::Status(404, _) => Ok(None),
            Answer::Status(_, why) => Err(self.error(format!("cannot be read: {why}"), true)),
        }
    }

    fn requests(&self) -> Request {
        Request::new(Secret::url_path(&(), Some(&self.namespace)))
    }

    /// Sends a request and reads the answer here: the client would write one that it cannot read into the log, and this one
    /// holds a key.
    fn ask(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Answer, Error> {
        let request = request.map_err(|error| self.error(error.to_string(), false))?;
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, self.client.request_text(request)).await });
        match answer {
            Ok(Ok(text)) => match serde_json::from_str(&text) {
                Ok(secret) => Ok(Answer::Secret(Box::new(secret))),
                Err(_) => Err(self.error("the API server's answer is not a Secret".to_owned(), false)),
            },
            Ok(Err(kube::Error::Api(status))) => Ok(Answer::Status(status.code, status.message.clone())),
            Ok(Err(error)) => Err(self.error(format!("the API server cannot be asked: {error}"), true)),
            Err(_) => Err(self.error(format!("the API server did not answer within {LIMIT:?}"), true)),
        }
    }

    fn error(&self, reason: String, temporary: bool) -> Error {
        Error::Cluster { place: self.place(), reason, temporary }
    }

    fn body(&self, secret: &Secret) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(secret).map_err(|error| self.error(error.to_string(), false))
    }

    /// The texts in a Secret, as loadSelfSignedCaSecret of ca.go: of the roots it knows the signing certificate only, which
    /// after a rotation by it is not the one of `root-cert.pem`; both are believed.
    fn read(&self, name: &str, secret: &Secret) -> Result<Texts, Error> {
        let data = secret.data.as_ref();
        if name == CACERTS && !data.is_some_and(|data| data.contains_key(GENERATED)) {
            let reason = "it is not marked as made by a control plane; mount a CA of your own at ROOT_CA_DIR";
            return Err(self.error(format!("{CACERTS}: {reason}"), false));
        }
        let text = |key: &str| {
            let bytes = data.and_then(|data| data.get(key)).map(|value| value.0.clone()).unwrap_or_default();
            String::from_utf8(bytes).map_err(|_| self.unusable(format!("{key}: not a text")))
        };
        let required = |key: &str| match text(key)? {
            empty if empty.trim().is_empty() => Err(self.unusable(format!("{key}: missing"))),
            text => Ok(text),
        };
        let (ca_cert, ca_key) = (required("ca-cert.pem")?, required("ca-key.pem")?.into());
        let root_cert = format!("{}\n{}", ca_cert.trim_end(), text("root-cert.pem")?);
        Ok(Texts { ca_cert, ca_key, root_cert, cert_chain: String::new() })
    }

    fn unusable(&self, what: String) -> Error {
        Error::Unusable {
            place: self.place(),
            source: authority::Error::Plugged(what),
            advice: self.advice(),
        }
    }
}

/// What came of a request: the Secret, or the API server's refusal.
enum Answer {
    Secret(Box<Secret>),
    Status(u16, String),
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

impl Store for InSecret {
    fn place(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.names().join(" or "))
    }

    fn advice(&self) -> &'static str {
        "Restore the Secret from a backup, or delete it to start with a new root (workloads must then be restarted)"
    }

    fn load(&self) -> Result<Option<Texts>, Error> {
        self.find()?.map(|(name, secret)| self.read(name, &secret)).transpose()
    }

    fn plugged(&self) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
        let Some(secret) = self.get(CACERTS)? else { return Ok(None) };
        let data = secret.data.unwrap_or_default();
        // API servers take no such names
        if let Some(name) =
            data.keys().find(|name| name.contains('/') || name.starts_with("..") || *name == ".")
        {
            return Err(self.error(format!("{CACERTS}: {name:?} is not the name of a file"), false));
        }
        Ok(Some(data.into_iter().map(|(name, value)| (name, value.0)).collect()))
    }

    fn create(&self, new: &Texts) -> Result<bool, Error> {
        // the keys of ca.go: BuildSecret, with its empty ones
        let mut data: BTreeMap<String, ByteString> = [
            ("ca-cert.pem", bytes(&new.ca_cert)),
            ("ca-key.pem", bytes(&new.ca_key)),
            ("root-cert.pem", bytes(&new.root_cert)),
            ("cert-chain.pem", bytes("")),
            ("key.pem", bytes("")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let name = self.name_of_new();
        if name == CACERTS {
            data.insert(GENERATED.to_owned(), bytes(""));
        }
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            type_: Some(TYPE.to_owned()),
            ..Secret::default()
        };
        match self.ask(self.requests().create(&PostParams::default(), self.body(&secret)?))? {
            Answer::Secret(_) => Ok(true),
            Answer::Status(409, _) => Ok(false),
            Answer::Status(_, why) => Err(self.error(format!("cannot be created: {why}"), true)),
        }
    }

    fn replace(&self, old: &Texts, new: &Texts) -> Result<bool, Error> {
        let Some((name, mut secret)) = self.find()? else { return Ok(false) };
        if self.read(name, &secret)? != *old {
            return Ok(false);
        }
        let data = secret.data.get_or_insert_default();
        data.insert("ca-cert.pem".to_owned(), bytes(&new.ca_cert));
        data.insert("ca-key.pem".to_owned(), bytes(&new.ca_key));
        data.insert("root-cert.pem".to_owned(), bytes(&new.root_cert));
        // with the version that was read: whoever was faster is not overwritten
        match self.ask(self.requests().replace(name, &PostParams::default(), self.body(&secret)?))? {
            Answer::Secret(_) => Ok(true),
            Answer::Status(404 | 409, _) => Ok(false),
            Answer::Status(_, why) => Err(self.error(format!("cannot be replaced: {why}"), true)),
        }
    }
}
