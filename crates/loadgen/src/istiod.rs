//! What istiod takes for the same, as it was measured once, and how much better we mean to be.
//!
//! Measured on istiod 1.32 (Go 1.26.8) with a real API server, on a machine of 2 virtual processors and 24 GB, with the
//! flags and the environment of its stock Deployment, delta xDS over plain text, the same meshes and sidecars that
//! acknowledge at once. CPU repeats within 15 %, times within 50 %. Other machines give other figures: a ratio to these
//! means something on a like machine only.

use clap::ValueEnum;

/// Sizes for which there are figures of Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Size {
    /// 100 services of 10 endpoints, 100 sidecars
    S,
    /// 1,000 services of 10 endpoints, 500 sidecars
    M,
}

impl Size {
    /// How many services.
    #[must_use]
    pub const fn services(self) -> usize {
        match self {
            Self::S => 100,
            Self::M => 1000,
        }
    }

    /// How many sidecars.
    #[must_use]
    pub const fn sidecars(self) -> usize {
        match self {
            Self::S => 100,
            Self::M => 500,
        }
    }
}

/// What happens to the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Event {
    /// Nothing, for a while
    Idle,
    /// A setting that reaches every cluster, listener and route
    Mesh,
    /// A VirtualService gets an annotation
    VsTouch,
    /// A VirtualService gets another timeout
    Vs,
    /// A DestinationRule gets another limit
    Dr,
    /// An AuthorizationPolicy gets another path
    Ap,
    /// An endpoint leaves its slice's rotation, or comes back
    Eds,
    /// A Service with its slice appears
    Add,
    /// It goes away
    Delete,
    /// Endpoint edits at 100 per second
    Churn,
}

/// One line of the table. Milliseconds (idle: thousandths of a core), and MB of gRPC payload, per event.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Of the server.
    pub cpu: f64,
    /// Sent.
    pub megabytes: f64,
    /// Sidecars that were told anything.
    pub touched: usize,
    /// Event to acknowledgement over sidecars and events: median, 99th percentile, largest.
    pub acks: Option<[f64; 3]>,
    /// Event to last acknowledgement, median over events.
    pub last_ack: Option<f64>,
}

const fn figures(cpu: f64, megabytes: f64, touched: usize, acks: [f64; 3], last_ack: f64) -> Figures {
    Figures { cpu, megabytes, touched, acks: Some(acks), last_ack: Some(last_ack) }
}

const fn silent(cpu: f64) -> Figures {
    Figures { cpu, megabytes: 0.0, touched: 0, acks: None, last_ack: None }
}

/// What istiod took.
#[must_use]
pub const fn of(size: Size, event: Event) -> Figures {
    match (size, event) {
        (Size::S, Event::Idle) => silent(2.3),
        (Size::S, Event::Mesh) => figures(354.0, 42.64, 100, [333.0, 416.0, 429.0], 390.0),
        (Size::S, Event::VsTouch) => silent(0.9),
        (Size::S, Event::Vs) => figures(217.0, 8.86, 100, [255.0, 334.0, 338.0], 317.0),
        (Size::S, Event::Dr) => figures(188.0, 9.16, 100, [217.0, 343.0, 353.0], 261.0),
        (Size::S, Event::Ap) => figures(4.0, 0.04, 2, [107.0, 110.0, 110.0], 107.0),
        (Size::S, Event::Eds) => figures(9.0, 0.18, 100, [112.0, 121.0, 125.0], 114.0),
        (Size::S, Event::Add) => figures(258.0, 9.86, 100, [318.0, 370.0, 371.0], 334.0),
        (Size::S, Event::Delete) => figures(257.0, 9.69, 100, [292.0, 459.0, 464.0], 349.0),
        // 0.7 s of CPU and 18 MB for 1,000 edits; last message 0.3 s after the last of them
        (Size::S, Event::Churn) => {
            Figures { cpu: 0.7, megabytes: 0.018, touched: 100, acks: None, last_ack: Some(300.0) }
        }
        (Size::M, Event::Idle) => silent(3.8),
        (Size::M, Event::Mesh) => figures(10_164.0, 1_862.55, 500, [5_341.0, 10_795.0, 10_952.0], 9_632.0),
        (Size::M, Event::VsTouch) => silent(3.9),
        (Size::M, Event::Vs) => figures(5_539.0, 256.69, 500, [2_030.0, 3_817.0, 3_937.0], 3_084.0),
        (Size::M, Event::Dr) => figures(5_880.0, 258.18, 500, [2_811.0, 6_315.0, 6_520.0], 5_307.0),
        (Size::M, Event::Ap) => figures(41.0, 0.59, 10, [132.0, 142.0, 142.0], 133.0),
        // the better of two runs
        (Size::M, Event::Eds) => figures(96.0, 0.92, 500, [158.0, 239.0, 250.0], 171.0),
        (Size::M, Event::Add) => figures(7_745.0, 297.10, 500, [3_468.0, 8_407.0, 8_446.0], 5_842.0),
        (Size::M, Event::Delete) => figures(6_125.0, 296.26, 500, [2_883.0, 8_545.0, 8_974.0], 4_861.0),
        // 63.8 s of CPU and 1,662 MB for 3,000 edits in 30 s; last message 40 s after the last of them
        (Size::M, Event::Churn) => {
            Figures { cpu: 21.3, megabytes: 0.554, touched: 500, acks: None, last_ack: Some(40_000.0) }
        }
    }
}

/// How much less CPU an event is to take: what must hold, and what is aimed at.
#[must_use]
pub const fn target(event: Event) -> (f64, f64) {
    match event {
        Event::Idle => (5.0, 20.0),
        Event::Mesh => (2.5, 4.0),
        Event::VsTouch | Event::Vs | Event::Dr | Event::Ap => (20.0, 100.0),
        Event::Add | Event::Delete => (10.0, 30.0),
        Event::Eds | Event::Churn => (4.0, 8.0),
    }
}

/// A start, or all sidecars connecting at once.
#[derive(Debug, Clone, Copy)]
pub struct Whole {
    /// Until it was ready, or the last sidecar complete.
    pub seconds: f64,
    /// Of the server.
    pub cpu_seconds: f64,
    /// MB, afterwards and at most.
    pub memory: (f64, f64),
    /// MB of gRPC payload.
    pub megabytes: f64,
}

/// From its start until it is ready.
#[must_use]
pub const fn start(size: Size) -> Whole {
    match size {
        Size::S => Whole { seconds: 1.09, cpu_seconds: 0.46, memory: (159.0, 159.0), megabytes: 0.0 },
        Size::M => Whole { seconds: 2.56, cpu_seconds: 2.14, memory: (255.0, 255.0), megabytes: 0.0 },
    }
}

/// All sidecars at once, with its limit on new streams: medians of three runs.
#[must_use]
pub const fn storm(size: Size) -> Whole {
    match size {
        Size::S => Whole { seconds: 4.8, cpu_seconds: 1.0, memory: (194.0, 199.0), megabytes: 43.0 },
        Size::M => Whole { seconds: 65.6, cpu_seconds: 61.3, memory: (1_666.0, 2_290.0), megabytes: 1_863.0 },
    }
}

/// What is measured of a control plane in a cluster only.
#[derive(Debug, Clone, Copy)]
pub struct InCluster {
    /// MB with all objects and no sidecar, settled.
    pub memory_alone: f64,
    /// MB a minute after all sidecars connected.
    pub memory_connected: f64,
    /// Certificates signed per second for RSA keys with its limits as they are; the median of runs, the first of which have
    /// their bursts in them.
    pub signed_per_second: f64,
    /// CPU milliseconds for each.
    pub signing_cpu: f64,
    /// All sidecars at once over TLS, each with a token.
    pub storm: Whole,
}

/// What istiod takes in a cluster of the larger mesh.
#[must_use]
pub const fn in_cluster() -> InCluster {
    InCluster {
        memory_alone: 254.0,
        memory_connected: 1_879.0,
        signed_per_second: 89.0,
        signing_cpu: 3.04,
        storm: Whole { seconds: 74.6, cpu_seconds: 71.2, memory: (2_204.0, 2_491.0), megabytes: 1_863.0 },
    }
}
