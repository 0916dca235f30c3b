//! Which connections of a pod its proxy takes, as `istio-iptables` sets it up.

use anyhow::Result;

use super::network::Sandbox;

/// The group the proxy runs as; what it connects to itself is not taken.
pub(super) const PROXY_GROUP: u32 = 1337;
const OUTBOUND: u16 = 15001;
const INBOUND: u16 = 15006;
/// Ports that are reached without the proxy: tunnels, its own pages, shells.
const OPEN: [u16; 5] = [15008, 15020, 15021, 15090, 22];

/// Sends what comes in and what goes out through the proxy.
///
/// # Errors
/// When `iptables-restore` is missing or refuses.
pub(super) fn capture(sandbox: &Sandbox) -> Result<()> {
    sandbox.feed("iptables-restore", &rules())
}

/// As tools/istio-iptables/pkg/capture/run.go in mode REDIRECT, for all ports, with the proxy's group as its owner.
fn rules() -> String {
    let open: String =
        OPEN.iter().map(|port| format!("-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN\n")).collect();
    format!(
        "*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
{open}-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {INBOUND}
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 -m owner --gid-owner {PROXY_GROUP} -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner {PROXY_GROUP} -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner {PROXY_GROUP} -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {OUTBOUND}
COMMIT
"
    )
}

#[cfg(test)]
mod tests;
