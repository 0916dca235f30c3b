//! The protocols of ports, and how the protocol of a port is found.

use std::fmt;

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC for browsers.
    GrpcWeb,
    /// HTTP/1.1.
    Http,
    /// A forward proxy; only on egress listeners of sidecars.
    HttpProxy,
    /// HTTP/2 without TLS.
    Http2,
    /// HTTP inside TLS that the application ends.
    Https,
    /// Bytes.
    Tcp,
    /// TLS with a server name.
    Tls,
    /// Datagrams; not proxied.
    Udp,
    /// MongoDB.
    Mongo,
    /// Redis.
    Redis,
    /// MySQL.
    MySql,
    /// Tunnels of the mesh; never declared by users.
    Hbone,
    /// Tunnels in tunnels between networks; never declared by users.
    DoubleHbone,
    /// Not declared: proxies look at the first bytes.
    #[default]
    Unsupported,
}

/// Ports that are never sniffed because the server speaks first: SMTP, DNS, MySQL, MongoDB.
const SERVER_FIRST: [u32; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// The protocol of a name as users write it, in any case; [`Protocol::Unsupported`] if there is none.
    ///
    /// As `pkg/config/protocol/instance.go: Parse`.
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "http" => Self::Http,
            "http_proxy" => Self::HttpProxy,
            "http2" => Self::Http2,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::MySql,
            _ => Self::Unsupported,
        }
    }

    /// The protocol of a port of a service of Kubernetes.
    ///
    /// UDP wins, then `appProtocol`, then the part of the port's name before the first `-`; ports on which the
    /// server speaks first are TCP if nothing is said. As `pkg/config/kube/conversion.go: ConvertProtocol`.
    pub fn of_port(number: u32, name: &str, transport: &str, app_protocol: Option<&str>) -> Self {
        if transport == "UDP" {
            return Self::Udp;
        }
        let name = match app_protocol {
            Some("kubernetes.io/h2c") => return Self::Http2,
            Some("kubernetes.io/ws") => return Self::Http,
            Some("kubernetes.io/wss") => return Self::Https,
            Some(app) => app,
            None => name,
        };
        if name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("grpc-web")) {
            return Self::GrpcWeb;
        }
        match Self::parse(name.split('-').next().unwrap_or(name)) {
            Self::Unsupported if SERVER_FIRST.contains(&number) => Self::Tcp,
            protocol => protocol,
        }
    }

    /// The name, as debug output and service ports show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "GRPC",
            Self::GrpcWeb => "GRPC-Web",
            Self::Http => "HTTP",
            Self::HttpProxy => "HTTP_PROXY",
            Self::Http2 => "HTTP2",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::Mongo => "Mongo",
            Self::Redis => "Redis",
            Self::MySql => "MySQL",
            Self::Hbone => "HBONE",
            Self::DoubleHbone => "DoubleHBONE",
            Self::Unsupported => "UnsupportedProtocol",
        }
    }

    /// Whether it is carried by HTTP/2.
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether proxies can route its requests.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::HttpProxy | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether it is HTTP or may turn out to be.
    pub const fn is_http_or_sniffed(self) -> bool {
        self.is_http() || self.is_unsupported()
    }

    /// Whether proxies see only a stream of bytes.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Https | Self::Tls | Self::Mongo | Self::Redis | Self::MySql)
    }

    /// Whether it begins with a TLS handshake.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Whether it is HTTPS.
    pub const fn is_https(self) -> bool {
        matches!(self, Self::Https)
    }

    /// Whether it is a form of gRPC.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }

    /// Whether nothing was declared.
    pub const fn is_unsupported(self) -> bool {
        matches!(self, Self::Unsupported)
    }

    /// What is inside once TLS is ended.
    #[must_use]
    pub const fn after_tls_termination(self) -> Self {
        match self {
            Self::Https => Self::Http,
            Self::Tls => Self::Tcp,
            other => other,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
