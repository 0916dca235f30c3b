//! What is found while something is built for a proxy, and that its owner should know of.

use std::sync::Arc;

/// Something that a proxy is not given because something else has its place, or that is odd about the proxy itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Finding {
    /// A service has no filter chain at a listener, as another one has its conditions
    /// (as pilot/pkg/networking/core/listener.go: `mergeTCPFilterChains`).
    OutboundListener {
        /// The listener.
        listener: Box<str>,
        /// What its first service speaks there: `HTTP`, `TCP`, or `UNKNOWN` if that is found out per connection.
        accepted: &'static str,
        /// What the other one speaks.
        rejected: &'static str,
        /// The host of the other one.
        host: Box<str>,
    },
    /// Two services speak different protocols on one port of the workload; the older one has it
    /// (as pilot/pkg/networking/core/listener_inbound.go: `reportInboundConflict`).
    InboundListener {
        /// The port of the workload.
        port: u32,
        /// The host of the older one.
        accepted: Box<str>,
        /// The host of the other one.
        rejected: Box<str>,
    },
    /// A virtual host lacks domains, or does not exist, as an earlier one has them
    /// (as pilot/pkg/networking/core/httproute.go: `buildVirtualHost`).
    Domain {
        /// The name of the virtual host, `host:port`.
        virtual_host: Arc<str>,
        /// Whether it stands for a service of the registry; else for a host of a virtual service.
        service: bool,
    },
    /// Slices that name the workload say that it is not ready
    /// (as pilot/pkg/serviceregistry/kube/controller/endpointslice.go: `serviceTargets`).
    Unready,
}

impl Finding {
    /// Whether it is about the proxy; else it is the same of all that are given the same.
    #[must_use]
    pub const fn is_of_proxy(&self) -> bool {
        matches!(self, Self::InboundListener { .. } | Self::Unready)
    }
}
