//! Scripted tables of the protocol: what is asked on the left, what is answered on the right.

mod hosts;
mod random;
mod random_hosts;
mod refusals;
mod sotw;
mod subscriptions;

use std::collections::BTreeMap;

use super::*;
use crate::request::Rejection;

/// A source whose editions the test sets.
#[derive(Default)]
struct Facts {
    editions: BTreeMap<TypeUrl, Arc<Edition>>,
    on_demand: BTreeMap<String, Resource>,
    revision: u64,
}

impl Source for Facts {
    fn edition(&self, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        self.editions.get(type_url).cloned()
    }

    fn on_demand(&self, type_url: &TypeUrl) -> bool {
        *type_url == TypeUrl::Secret
    }

    fn lookup(&self, _: &TypeUrl, name: &str) -> Option<Resource> {
        self.on_demand.get(name).cloned()
    }
}

/// `name=content`, or `name` with its name as content; a route configuration `name!` has its hosts apart.
fn resource(text: &str) -> Resource {
    let (name, content) = text.split_once('=').unwrap_or((text, text));
    let (name, vhds) = match name.strip_suffix('!') {
        Some(name) => (name, true),
        None => (name, false),
    };
    Resource { vhds, ..Resource::new(name, content.as_bytes().to_vec()) }
}

/// A stream under test: a session, its source, and what was sent and not yet answered.
struct Script {
    session: Session,
    facts: Facts,
    sent: Vec<Response>,
}

impl Script {
    fn new(variant: Variant) -> Self {
        let session = Session::new(variant, 7, Arc::default());
        Self { session, facts: Facts::default(), sent: Vec::new() }
    }

    fn delta() -> Self {
        Self::new(Variant::Delta)
    }

    fn sotw() -> Self {
        Self::new(Variant::Sotw)
    }

    /// A second stream over the same facts, as after a reconnect.
    fn reconnect(self) -> Self {
        Self { facts: self.facts, ..Self::new(self.session.variant()) }
    }

    fn set(&mut self, short: &str, resources: &[&str]) -> &mut Self {
        self.facts.revision += 1;
        let edition = Edition::new(self.facts.revision, resources.iter().map(|r| resource(r)).collect());
        self.facts.editions.insert(TypeUrl::from_short(short), edition);
        self.session.on_change();
        self
    }

    fn ask(&mut self, short: &str, subscribe: &[&str], unsubscribe: &[&str]) -> &mut Self {
        self.ask_holding(short, subscribe, unsubscribe, &[])
    }

    /// A delta request with claims, written as the resources the client holds.
    fn ask_holding(&mut self, short: &str, add: &[&str], take: &[&str], held: &[&str]) -> &mut Self {
        let claims = held.iter().map(|text| resource(text));
        let wish = Wish::Delta {
            subscribe: strings(add),
            unsubscribe: strings(take),
            claims: claims.map(|r| (r.name.to_string(), r.wire_version())).collect(),
        };
        self.request(short, String::new(), None, wish);
        self
    }

    fn request(&mut self, short: &str, nonce: String, error: Option<&str>, wish: Wish) -> Vec<Event> {
        let error = error.map(|message| Rejection { code: 13, message: message.into() });
        self.session.on_request(Request { type_url: TypeUrl::from_short(short), nonce, error, wish })
    }

    /// Everything there is to send, one line per response, left unanswered.
    fn out(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(response) = self.session.next_response(&self.facts, SystemTime::UNIX_EPOCH) {
            lines.push(line(&response));
            self.sent.push(response);
            assert!(lines.len() < 10_000, "the session never stops talking");
        }
        lines
    }

    /// [`Script::out`], and every response accepted; again until there is silence.
    fn flow(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let more = self.out();
            if more.is_empty() {
                return lines;
            }
            lines.extend(more);
            self.ack_all();
        }
    }

    fn ack_all(&mut self) {
        for response in std::mem::take(&mut self.sent) {
            self.answer(&response, None);
        }
    }

    /// The answer of a client that keeps its subscription.
    fn answer(&mut self, response: &Response, error: Option<&str>) -> Vec<Event> {
        let wish = match self.session.variant() {
            Variant::Delta => Wish::Delta { subscribe: vec![], unsubscribe: vec![], claims: vec![] },
            Variant::Sotw => {
                let mut names: Vec<String> =
                    self.session.names(&response.type_url).iter().map(ToString::to_string).collect();
                let watch = self.session.watches.get(&response.type_url);
                if watch.is_some_and(|watch| watch.named && watch.subscription.wildcard) {
                    names.push("*".into());
                }
                Wish::Sotw { names }
            }
        };
        self.request(response.type_url.as_str(), response.nonce.to_string(), error, wish)
    }

    /// Accepts what has no `bad` in a name of it, refuses the rest; until there is silence. The accepted lines.
    fn flow_refusing(&mut self, bad: &[&str]) -> Vec<String> {
        let mut accepted = Vec::new();
        loop {
            if self.out().is_empty() {
                return accepted;
            }
            for response in std::mem::take(&mut self.sent) {
                let spoiled = response.resources.iter().any(|r| bad.contains(&&*r.name));
                self.answer(&response, spoiled.then_some("bad resource"));
                if !spoiled {
                    accepted.push(line(&response));
                }
            }
        }
    }

    fn status(&self, short: &str) -> TypeStatus {
        self.session.status_of(&TypeUrl::from_short(short)).unwrap_or_default()
    }
}

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

/// `CDS +a +b -c`.
fn line(response: &Response) -> String {
    let mut line = response.type_url.short().to_owned();
    for resource in response.resources.iter() {
        line += &format!(" +{}", resource.name);
    }
    for name in &response.removed {
        line += &format!(" -{name}");
    }
    line
}

const NOTHING: [&str; 0] = [];
