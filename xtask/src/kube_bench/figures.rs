//! What is measured: its name, its unit, what istiod took once, and how much better it is asked to be.

use std::io::{self, Write};

use loadgen::istiod::{self, Event, Size};
use loadgen::sample::Sample;
use serde_json::json;

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// From exec until it is ready.
    Start,
    /// CPU until then.
    StartCpu,
    /// Memory with all objects and no sidecar.
    Alone,
    /// Certificates per second.
    Signed,
    /// CPU for one.
    SigningCpu,
    /// CPU until all sidecars are complete, which came at once over TLS with tokens.
    Storm,
    /// Until the last of them is complete.
    StormWall,
    /// The most memory it held meanwhile.
    StormPeak,
    /// Memory a minute after.
    Connected,
    /// With all sidecars and nothing to do.
    Idle,
    /// CPU of an event.
    Event(Event),
    /// From an event to the last acknowledgement.
    LastAck(Event),
}

/// Events in the order they are made.
pub(crate) const EVENTS: [Event; 9] = [
    Event::Eds,
    Event::Ap,
    Event::VsTouch,
    Event::Vs,
    Event::Dr,
    Event::Add,
    Event::Delete,
    Event::Mesh,
    Event::Churn,
];

impl Figure {
    /// In the order of the table.
    pub(crate) fn all() -> Vec<Self> {
        use Figure::{
            Alone, Connected, Idle, Signed, SigningCpu, Start, StartCpu, Storm, StormPeak, StormWall,
        };
        let whole =
            [Start, StartCpu, Alone, Signed, SigningCpu, Storm, StormWall, StormPeak, Connected, Idle];
        let answered = EVENTS.into_iter().filter(|event| !matches!(event, Event::VsTouch | Event::Churn));
        let events = EVENTS.into_iter().map(Figure::Event).chain(answered.map(Figure::LastAck));
        whole.into_iter().chain(events).collect()
    }

    /// What the table calls it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Start => "exec until ready".to_owned(),
            Self::StartCpu => "exec until ready, CPU".to_owned(),
            Self::Alone => "memory without a proxy".to_owned(),
            Self::Signed => "certificates per second".to_owned(),
            Self::SigningCpu => "certificate, CPU".to_owned(),
            Self::Storm => "all proxies connect over TLS with tokens, CPU".to_owned(),
            Self::StormWall => "the same, until the last is complete".to_owned(),
            Self::StormPeak => "the same, peak of memory".to_owned(),
            Self::Connected => "memory with all proxies".to_owned(),
            Self::Idle => "idle with all proxies".to_owned(),
            Self::Event(event) => format!("{}, CPU", name(event)),
            Self::LastAck(event) => format!("{}, last ACK", name(event)),
        }
    }

    /// Its unit.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Start | Self::StartCpu | Self::Storm | Self::StormWall => "s",
            Self::Alone | Self::StormPeak | Self::Connected => "MB",
            Self::Signed => "1/s",
            Self::SigningCpu | Self::Event(_) | Self::LastAck(_) => "ms",
            Self::Idle => "mcores",
        }
    }

    /// Whether more of it is better.
    const fn wants_more(self) -> bool {
        matches!(self, Self::Signed)
    }

    /// How many times better than istiod it is asked to be.
    pub(crate) const fn mark(self) -> Option<f64> {
        match self {
            Self::Start | Self::Signed | Self::SigningCpu => Some(3.0),
            Self::Alone => Some(4.0),
            Self::Connected => Some(5.0),
            Self::Storm => Some(10.0),
            _ => None,
        }
    }

    /// How many times better one value of it is than another; `None` if that cannot be said.
    pub(crate) fn ratio(self, ours: f64, theirs: f64) -> Option<f64> {
        let (less, more) = if self.wants_more() { (theirs, ours) } else { (ours, theirs) };
        (less > 0.0 && more > 0.0).then(|| more / less)
    }

    /// What istiod took when it was measured.
    pub(crate) fn recorded(self, size: Size) -> Option<f64> {
        let cluster = istiod::in_cluster();
        let start = istiod::start(size);
        match (self, size) {
            (Self::Start, _) => Some(start.seconds),
            (Self::StartCpu, _) => Some(start.cpu_seconds),
            (Self::Idle, _) => Some(istiod::of(size, Event::Idle).cpu),
            (Self::Event(event), _) => Some(istiod::of(size, event).cpu),
            (Self::LastAck(event), _) => istiod::of(size, event).last_ack,
            (_, Size::S) => None,
            (Self::Alone, Size::M) => Some(cluster.memory_alone),
            (Self::Connected, Size::M) => Some(cluster.memory_connected),
            (Self::Signed, Size::M) => Some(cluster.signed_per_second),
            (Self::SigningCpu, Size::M) => Some(cluster.signing_cpu),
            (Self::Storm, Size::M) => Some(cluster.storm.cpu_seconds),
            (Self::StormWall, Size::M) => Some(cluster.storm.seconds),
            (Self::StormPeak, Size::M) => Some(cluster.storm.memory.1),
        }
    }
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Idle => "idle",
        Event::Mesh => "mesh-wide flip",
        Event::VsTouch => "VirtualService annotated",
        Event::Vs => "VirtualService edited",
        Event::Dr => "DestinationRule edited",
        Event::Ap => "AuthorizationPolicy edited",
        Event::Eds => "EndpointSlice edited",
        Event::Add => "Service added",
        Event::Delete => "Service deleted",
        Event::Churn => "endpoint edits at 100/s, each",
    }
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// This product.
    Ours,
    /// What it is measured against.
    Theirs,
}

impl Side {
    /// In lines and names of files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// Everything that was measured, each value also as a line of JSON where that is wanted.
pub(crate) struct Records {
    taken: Vec<(Side, Figure, f64)>,
    lines: Box<dyn Write>,
}

impl Records {
    /// Nothing yet; lines go to `lines`.
    pub(crate) fn new(lines: Box<dyn Write>) -> Self {
        Self { taken: Vec::new(), lines }
    }

    /// One value.
    ///
    /// # Errors
    /// Its line cannot be written.
    pub(crate) fn push(&mut self, side: Side, round: usize, figure: Figure, value: f64) -> io::Result<()> {
        self.taken.push((side, figure, value));
        let line = json!({
            "who": side.name(), "round": round, "figure": figure.name(), "unit": figure.unit(), "value": value,
        });
        writeln!(self.lines, "{line}")?;
        self.lines.flush()
    }

    /// The values of a figure.
    pub(crate) fn sample(&self, side: Side, figure: Figure) -> Sample {
        let mut sample = Sample::default();
        sample.extend(self.taken.iter().filter(|(s, f, _)| (*s, *f) == (side, figure)).map(|(_, _, v)| *v));
        sample
    }
}
