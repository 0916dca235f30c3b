//! The loop: events in the order of virtual time, each with its consequences, and the checks after them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use generate::{Class, Generator, TypeName};
use mesh::Batch;
use mesh::settings::Settings;
use sources::Change;
use xds::server::PushBudget;
use xds::{Request, Response, TypeUrl, Variant};

use super::faults::Sabotage;
use super::feed::{Feed, Told};
use super::judge::{self, Judge};
use super::link::Link;
use super::plane::{Plane, Seen};
use super::proxy::{Proxy, is_wildcard};
use super::random::Random;
use super::user::User;
use super::{Failure, Options, Report};
use crate::check;

/// Edits are gathered until so long nothing came, or the oldest has waited for [`MOST`]; in milliseconds.
const QUIET: u64 = 20;
const MOST: u64 = 80;
/// A response that a connection does not take for so long gives its room to others.
const STALL: u64 = 40;
/// A run that is not over after so many events will never be.
const EVENTS: usize = 20_000;

enum Event {
    Edit,
    /// A watch tells something.
    Hear(usize),
    /// The connection of a watch breaks.
    Deafen(usize),
    /// The API server's store goes back.
    Restore,
    Commit,
    Publish,
    Open(usize),
    Cut(usize),
    /// The proxy asks for one virtual host.
    Demand(usize),
    Restart,
    Arrive(u64, Request),
    Pump(u64),
    Taken(u64, u64),
    Stall(u64, u64),
    Deliver(u64, Box<Response>),
}

/// One run.
pub(super) struct Simulation {
    seed: u64,
    options: Options,
    random: Random,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    settings: Settings,
    user: User,
    feeds: Vec<Feed>,
    /// What was heard and is not committed; since when, and when the last of it came.
    pending: Change,
    first_heard: Option<u64>,
    last_heard: u64,
    told: Told,
    plane: Plane,
    budget: PushBudget,
    proxies: Vec<Proxy>,
    links: BTreeMap<u64, Link>,
    judge: Judge,
    report: Report,
    steps: Vec<String>,
}

impl Simulation {
    pub(super) fn new(seed: u64, options: Options) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::default();
        let user = User::new(&mut random);
        // Rebuilding every hit is dear: a part of the seeds does it. It would notice sabotage before any proxy could.
        let audit = seed.is_multiple_of(16) && options.sabotage.is_none();
        let mut report = Report::default();
        let mut feeds = Feed::all(&mut random);
        let first = listed(&mut feeds, &user, &mut random, &mut report);
        let mut told = Told::default();
        told.take(&first);
        let plane = Plane::new(settings.clone(), first, audit);
        let budget = PushBudget::new(1024 << random.below(6), 0);
        let mut simulation = Self {
            seed,
            options,
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            settings,
            user,
            feeds,
            pending: Change::default(),
            first_heard: None,
            last_heard: 0,
            told,
            budget,
            proxies: Vec::new(),
            links: BTreeMap::new(),
            judge: Judge::default(),
            report,
            steps: Vec::new(),
            plane,
            random,
        };
        simulation.judge.saw(simulation.plane.world());
        simulation.listen();
        simulation.cast();
        simulation.script();
        simulation
    }

    /// Who takes part.
    fn cast(&mut self) {
        let sidecar = |ip: &str, app: &str, ns: &str| check::node("sidecar", ip, app, ns, &[("app", app)]);
        let router = || {
            let labels = [("app", "gateway"), ("istio", "gateway")];
            check::node("router", "10.0.0.3", "gateway", "istio-system", &labels)
        };
        let cast = [
            ("one", sidecar("10.0.0.1", "one", "a")),
            ("two", sidecar("10.0.0.2", "two", "b")),
            ("gateway", router()),
            ("idle", sidecar("10.0.0.9", "idle", "a")),
        ];
        let leave_out = self.random.below(cast.len());
        for (at, (name, mut node)) in cast.into_iter().enumerate() {
            // An istio-proxy, a stock Envoy too old for virtual hosts of their own, and mostly one that takes them.
            let release = [None, Some(36), Some(37), Some(40)][self.random.below(4)];
            if let Some(minor) = release {
                check::stock(&mut node, minor);
            }
            let Ok(mut class) = generate::Proxy::from_node(&node) else { continue };
            if at == leave_out {
                continue;
            }
            let variant = if self.random.percent(70) { Variant::Delta } else { Variant::Sotw };
            class.capabilities.virtual_hosts &= variant == Variant::Delta;
            let apart = class.capabilities.virtual_hosts;
            let mut proxy = Proxy::new(name, Class::new(class), variant);
            proxy.slow = self.random.percent(15);
            proxy.picky = self.random.percent(15).then(|| self.random.any());
            let text = format!(
                "{name} speaks {variant:?}, hosts apart {apart}, slow {}, picky {}",
                proxy.slow,
                proxy.picky.is_some()
            );
            self.note(|| text);
            self.proxies.push(proxy);
            let at = self.random.time(0, 30);
            self.at(at, Event::Open(self.proxies.len() - 1));
        }
    }

    /// What will happen by itself.
    fn script(&mut self) {
        let mut at = self.random.time(0, 60);
        for _ in 0..4 + self.random.below(8) {
            self.at(at, Event::Edit);
            at += if self.random.percent(40) { self.random.time(0, 10) } else { self.random.time(10, 150) };
        }
        for _ in 0..self.random.below(4) {
            let (cut, proxy) = (self.random.time(0, at), self.random.below(self.proxies.len()));
            self.at(cut, Event::Cut(proxy));
        }
        for _ in 0..self.random.below(4) {
            let (time, proxy) = (self.random.time(0, at), self.random.below(self.proxies.len()));
            self.at(time, Event::Demand(proxy));
        }
        for _ in 0..self.random.below(5) {
            let (cut, feed) = (self.random.time(0, at), self.random.below(self.feeds.len()));
            self.at(cut, Event::Deafen(feed));
        }
        if self.random.percent(20) {
            let restart = self.random.time(0, at);
            self.at(restart, Event::Restart);
        }
        if self.random.percent(15) {
            let restore = self.random.time(0, at);
            self.at(restore, Event::Restore);
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time.max(self.now), self.sequence), event);
    }

    fn after(&mut self, from: u64, to: u64, event: Event) {
        let delay = self.random.time(from, to);
        self.at(self.now + delay, event);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.options.trace {
            let step = format!("{:>6} {}", self.now, text());
            self.steps.push(step);
        }
    }

    pub(super) fn play(mut self) -> Result<Report, Box<Failure>> {
        match self.run() {
            Ok(()) => Ok(Report { time: self.now, ..self.report }),
            Err(reason) => Err(Box::new(Failure { seed: self.seed, reason, steps: self.steps })),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..EVENTS {
            let Some(((time, _), event)) = self.events.pop_first() else { return self.verdict() };
            self.now = time;
            self.handle(event)?;
        }
        Err("the control plane and the proxies never come to rest".to_owned())
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Edit => self.edit(),
            Event::Hear(feed) => self.hear(feed),
            Event::Deafen(feed) => self.deafen(feed),
            Event::Restore => self.restore(),
            Event::Commit => self.commit()?,
            Event::Publish => self.publish(),
            Event::Open(proxy) => self.open(proxy),
            Event::Cut(proxy) => self.cut(proxy),
            Event::Demand(proxy) => self.demand(proxy),
            Event::Restart => self.restart(),
            Event::Arrive(link, request) => self.arrive(link, request),
            Event::Pump(link) => self.pump(link)?,
            Event::Taken(link, number) => self.left(link, number, Link::taken),
            Event::Stall(link, number) => self.left(link, number, Link::stalled),
            Event::Deliver(link, response) => self.deliver(link, &response)?,
        }
        Ok(())
    }

    fn edit(&mut self) {
        self.report.edits += 1;
        let told = self.user.edit(&mut self.random);
        self.note(|| told);
        self.listen();
    }

    /// Wakes the watches that have something to tell.
    fn listen(&mut self) {
        for index in 0..self.feeds.len() {
            let Some(feed) = self.feeds.get_mut(index) else { continue };
            if feed.is_behind(&self.user.store) && !std::mem::replace(&mut feed.awake, true) {
                let latency = feed.latency;
                self.after(0, latency, Event::Hear(index));
            }
        }
    }

    fn hear(&mut self, index: usize) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        feed.awake = false;
        let (random, watched) = (&mut self.random, &mut self.report.watched);
        let change = feed.step(&self.user.store, random, watched, self.options.sabotage);
        let kind = feed.kind;
        self.note(|| {
            let (puts, removes) = (change.batch.puts.len(), change.batch.removes.len());
            format!("the watch of {} tells: {puts} put, {removes} removed", kind.plural())
        });
        self.listen();
        if change.batch.is_empty() {
            return;
        }
        match self.options.sabotage {
            Some(Sabotage::ForgetEarlier) => self.pending = change,
            _ => self.pending.merge(change),
        }
        self.last_heard = self.now;
        if self.first_heard.is_none() {
            self.first_heard = Some(self.now);
            self.at(self.now + QUIET, Event::Commit);
        }
    }

    fn deafen(&mut self, index: usize) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        feed.cut();
        let kind = feed.kind;
        // a step that was under way is the one that begins anew
        let awake = std::mem::replace(&mut feed.awake, true);
        self.note(|| format!("the watch of {} breaks", kind.plural()));
        if !awake {
            self.after(1, 200, Event::Hear(index));
        }
    }

    fn restore(&mut self) {
        let revision = self.user.store.earlier(1 + self.random.below(8));
        self.note(|| format!("the store goes back to revision {revision}"));
        self.report.restores += 1;
        self.user.store.restore(revision);
        for feed in 0..self.feeds.len() {
            self.deafen(feed);
        }
    }

    fn commit(&mut self) -> Result<(), String> {
        let Some(first) = self.first_heard else { return Ok(()) };
        if self.now < self.last_heard + QUIET && self.now < first + MOST {
            let next = (self.last_heard + QUIET).min(first + MOST);
            self.at(next, Event::Commit);
            return Ok(());
        }
        self.first_heard = None;
        let batch = std::mem::take(&mut self.pending).batch;
        self.note(|| format!("commit of {} objects", batch.puts.len() + batch.removes.len()));
        self.told.take(&batch);
        self.told.compare(&self.feeds)?;
        let forget = self.options.sabotage == Some(Sabotage::ForgetCommits) && self.random.percent(33);
        self.plane.commit(batch, !forget)?;
        self.after(0, 25, Event::Publish);
        if self.random.percent(10) {
            // A batch that says nothing is a commit too.
            self.plane.commit(Batch::default(), true)?;
            self.after(0, 25, Event::Publish);
        }
        Ok(())
    }

    fn publish(&mut self) {
        let Some(flagged) = self.plane.publish() else { return };
        self.judge.saw(self.plane.world());
        let mut woken = Vec::new();
        let deaf = self.options.sabotage == Some(Sabotage::IgnoreStale);
        for (id, link) in &mut self.links {
            let Some(proxy) = self.proxies.get(link.proxy) else { continue };
            let asked = link.asked.borrow();
            let touched = asked.touched(&proxy.class, &flagged);
            if touched || (asked.stale.take() && !deaf) {
                link.session.on_change();
                woken.push(*id);
            }
        }
        self.note(|| format!("publish, wakes {woken:?}"));
        for id in woken {
            self.disturb(id);
            self.at(self.now, Event::Pump(id));
        }
    }

    fn open(&mut self, index: usize) {
        if self.links.values().any(|link| link.proxy == index) {
            return;
        }
        let Some(proxy) = self.proxies.get_mut(index) else { return };
        self.report.streams += 1;
        let id = self.report.streams as u64;
        let requests = proxy.open();
        let (name, variant) = (proxy.name, proxy.variant);
        // Nonces need not differ between runs.
        let link = Link::new(index, variant, u32::try_from(id).unwrap_or(0), &self.plane.interner);
        self.links.insert(id, link);
        self.note(|| format!("{name} opens stream {id}"));
        self.send(id, requests);
    }

    fn cut(&mut self, index: usize) {
        let Some(id) = self.links.iter().find(|(_, link)| link.proxy == index).map(|(id, _)| *id) else {
            return;
        };
        self.note(|| format!("stream {id} breaks"));
        self.links.remove(&id);
        self.after(1, 120, Event::Open(index));
        self.poke();
    }

    fn demand(&mut self, index: usize) {
        let Some(id) = self.links.iter().find(|(_, link)| link.proxy == index).map(|(id, _)| *id) else {
            return;
        };
        let at = self.random.below(8);
        let Some(request) = self.proxies.get_mut(index).and_then(|proxy| proxy.ask_for_host(at)) else {
            return;
        };
        self.note(|| format!("stream {id} demands a virtual host: {}", describe(&request)));
        self.send(id, vec![request]);
    }

    fn restart(&mut self) {
        self.note(|| "the control plane restarts with empty memory".to_owned());
        self.report.restarts += 1;
        self.links.clear();
        self.feeds = Feed::all(&mut self.random);
        self.pending = Change::default();
        self.first_heard = None;
        let first = listed(&mut self.feeds, &self.user, &mut self.random, &mut self.report);
        self.told = Told::default();
        self.told.take(&first);
        self.plane = Plane::new(self.settings.clone(), first, false);
        self.judge.saw(self.plane.world());
        for proxy in 0..self.proxies.len() {
            self.after(1, 150, Event::Open(proxy));
        }
        self.events.retain(|_, event| !matches!(event, Event::Hear(_)));
        self.listen();
    }

    /// Requests of one moment arrive together.
    fn send(&mut self, id: u64, requests: Vec<Request>) {
        let latency = self.random.time(1, 12);
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.up = link.up.max(now + latency);
        link.flying += requests.len();
        let arrival = link.up;
        for request in requests {
            self.at(arrival, Event::Arrive(id, request));
        }
    }

    fn arrive(&mut self, id: u64, request: Request) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.flying -= 1;
        let text = self.options.trace.then(|| describe(&request));
        link.session.on_request(request);
        if let Some(text) = text {
            self.note(|| format!("stream {id} asks {text}"));
        }
        self.at(self.now, Event::Pump(id));
    }

    /// Makes and hands over what can be.
    fn pump(&mut self, id: u64) -> Result<(), String> {
        let force = self.options.sabotage == Some(Sabotage::IgnoreBudget);
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let Some(proxy) = self.proxies.get_mut(link.proxy) else { return Ok(()) };
        if link.is_free() {
            let source = Seen { plane: &self.plane, class: &proxy.class, asked: &link.asked };
            match link.session.next_response(&source, SystemTime::UNIX_EPOCH) {
                Some(response) => link.queue(response, &self.budget),
                None if link.flying == 0 => proxy.at_rest(),
                None => {}
            }
        }
        let Some(mut response) = link.try_leave(force) else { return Ok(()) };
        let (number, slow) = (link.number, proxy.slow);
        let taken = self.now + if slow { self.random.time(1, 150) } else { self.random.time(0, 3) };
        self.at(taken, Event::Taken(id, number));
        self.at(self.now + STALL, Event::Stall(id, number));
        let lost = self.options.sabotage == Some(Sabotage::LoseResponses) && self.random.percent(12);
        if self.options.sabotage == Some(Sabotage::WithholdHosts) && response.type_url == TypeUrl::VirtualHost
        {
            // One of them only, and the nonce comes: nothing but what the proxy holds can show it.
            let mut kept: Vec<_> = response.resources.iter().cloned().collect();
            kept.pop();
            response.resources = kept.into();
        }
        if !lost {
            self.fly(id, taken, response);
        }
        self.weigh()
    }

    fn fly(&mut self, id: u64, taken: u64, response: Response) {
        let latency = self.random.time(1, 12);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.down = link.down.max(taken + latency);
        link.flying += 1;
        let arrival = link.down;
        self.at(arrival, Event::Deliver(id, Box::new(response)));
    }

    /// What is on its way stays under the cap; a response larger than the cap goes alone.
    fn weigh(&mut self) -> Result<(), String> {
        let sizes = || self.links.values().map(Link::in_flight).filter(|bytes| *bytes > 0);
        let (count, sum) = (sizes().count(), sizes().sum::<usize>());
        self.report.in_flight = self.report.in_flight.max(sum);
        if count > 1 && sum > self.budget.size() {
            return Err(format!("{sum} bytes are on their way at once, {} are allowed", self.budget.size()));
        }
        Ok(())
    }

    fn left(&mut self, id: u64, number: u64, how: impl FnOnce(&mut Link)) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.number == number) else { return };
        how(link);
        self.at(self.now, Event::Pump(id));
        self.poke();
    }

    /// Room was given back: whoever waits looks again.
    fn poke(&mut self) {
        let waiting: Vec<u64> = self.links.iter().filter(|(_, l)| !l.is_free()).map(|(id, _)| *id).collect();
        for id in waiting {
            self.at(self.now, Event::Pump(id));
        }
    }

    fn deliver(&mut self, id: u64, response: &Response) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.flying -= 1;
        let Some(proxy) = self.proxies.get_mut(link.proxy) else { return Ok(()) };
        self.report.responses += 1;
        self.report.resources += response.resources.len();
        if response.type_url == TypeUrl::VirtualHost {
            self.report.virtual_hosts += response.resources.len();
        }
        let name = proxy.name;
        let received = proxy.receive(response);
        self.note(|| format!("{name} receives {}", told(response)));
        let requests = received.map_err(|error| format!("{name}: {error}"))?;
        self.report.refused += usize::from(requests.iter().any(|request| request.error.is_some()));
        self.look(id)?;
        self.send(id, requests);
        Ok(())
    }

    /// Nothing that is in use may mention what is not there.
    fn look(&mut self, id: u64) -> Result<(), String> {
        let Some(proxy) = self.links.get(&id).and_then(|link| self.proxies.get(link.proxy)) else {
            return Ok(());
        };
        if proxy.healing || proxy.picky.is_some() {
            return Ok(());
        }
        if let Some(of) = proxy.same_again {
            // What was listed until its removal is due, and came back before that, was never gone for the proxy.
            let came_back = proxy.of(of).keys().any(|name| self.judge.was_gone(&proxy.class, of, name));
            if !came_back {
                return Err(format!("{}: all of {of:?} was sent again unchanged", proxy.name));
            }
        }
        for (of, name) in &proxy.repeated {
            // By name, state of the world cannot say that something is gone.
            let unsaid = proxy.variant == Variant::Sotw && !is_wildcard(*of);
            let waits = matches!(of, TypeName::Cluster | TypeName::Endpoint | TypeName::Secret);
            if !((waits || unsaid) && self.judge.was_gone(&proxy.class, *of, name)) {
                return Err(format!("{}: {of:?} {name} was sent again unchanged and unasked", proxy.name));
            }
        }
        for dangling in proxy.dangling() {
            if !self.judge.excuses(&proxy.class, &dangling) {
                let ((of, from, _), (to, name)) = (dangling.from, dangling.to);
                return Err(format!(
                    "{} holds {of:?} {from}, which mentions {to:?} {name}, which it was told is gone or never had",
                    proxy.name
                ));
            }
        }
        Ok(())
    }

    /// Forged responses of a broken control plane.
    fn disturb(&mut self, id: u64) {
        let Some(sabotage) = self.options.sabotage else { return };
        let Some(proxy) = self.links.get(&id).and_then(|link| self.proxies.get(link.proxy)) else { return };
        let held = proxy.of(TypeName::Cluster);
        let built = check::Output::of_class(self.plane.world(), &proxy.class);
        let names = built.names(TypeName::Cluster);
        let (resources, removed) = match sabotage {
            Sabotage::RemoveFirst => (
                Vec::new(),
                held.keys().filter(|name| !names.contains(&&***name)).cloned().collect::<Vec<_>>(),
            ),
            Sabotage::ResendAll => (held.values().map(|held| held.resource.clone()).collect(), Vec::new()),
            _ => return,
        };
        if proxy.variant == Variant::Delta && !(resources.is_empty() && removed.is_empty()) {
            let nonce = Arc::from("forged");
            let (variant, type_url) = (Variant::Delta, TypeUrl::Cluster);
            let resources = resources.into();
            self.fly(id, self.now, Response { variant, type_url, nonce, revision: 0, resources, removed });
        }
    }

    /// Everything has come to rest.
    fn verdict(&mut self) -> Result<(), String> {
        if let Some(feed) = self.feeds.iter().find(|feed| feed.is_behind(&self.user.store)) {
            return Err(format!("the watch of {} has more to tell, and nobody listens", feed.kind.plural()));
        }
        self.told.compare(&self.feeds)?;
        let settings = self.settings.clone();
        let world = judge::from_scratch(settings, self.user.store.facts(), &mut self.random);
        let generator = Generator::new(false);
        for proxy in &self.proxies {
            judge::compare(&generator, &world, proxy)?;
        }
        match self.links.values().find(|link| !link.session.all_answered()) {
            Some(link) => Err(format!("a response on the stream of proxy {} was never answered", link.proxy)),
            None => Ok(()),
        }
    }
}

/// What every watch has listed, as one: nobody is served before that.
fn listed(feeds: &mut [Feed], user: &User, random: &mut Random, report: &mut Report) -> Batch {
    let mut change = Change::default();
    for feed in feeds {
        change.merge(feed.catch_up(&user.store, random, &mut report.watched));
    }
    change.batch
}

fn describe(request: &Request) -> String {
    let refused = if request.error.is_some() { " refuses" } else { "" };
    format!("{} {:?}{refused} {:?}", request.type_url.short(), request.nonce, request.wish)
}

fn told(response: &Response) -> String {
    let names: Vec<String> =
        response.resources.iter().map(|r| format!("{}@{:04x}", r.name, r.version & 0xffff)).collect();
    format!("{} {:?} {names:?}, removed {:?}", response.type_url.short(), response.nonce, response.removed)
}
