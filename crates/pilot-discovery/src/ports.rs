//! The ports: plaintext and TLS gRPC, HTTP. Each is a task that serves until told to stop.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use process::listen;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tower::Service as _;
use xds::server::Server;
use xds::server::incoming::{self, Io, Transport};

use crate::ca::serving::ConnectionInfo;
use crate::ca::{self, Connection, Tls};
use crate::catalog::MeshCatalog;
use crate::reflection::{Reflection, V1, V1Alpha};

/// The services, as tools know them.
const DISCOVERY: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
const CERTIFICATES: &str = "istio.v1.auth.IstioCertificateService";

/// Told when the process stops.
pub type Stop = watch::Receiver<bool>;

/// Where plaintext gRPC is listened for.
pub enum Plain {
    /// A TCP port.
    Tcp(TcpListener),
    /// A socket in the file system, for callers on this machine.
    Unix(UnixListener),
}

/// Listens on `host:port` or `unix:///path`; `None` for an empty address.
///
/// # Errors
/// As [`process::listen`].
pub async fn plain(address: &str) -> Result<Option<Plain>, listen::Error> {
    if let Some(path) = address.strip_prefix("unix://") {
        // who may open the file may ask
        return Ok(Some(Plain::Unix(listen::unix(Path::new(path), 0o660)?)));
    }
    Ok(tcp(address).await?.map(Plain::Tcp))
}

/// Listens on `host:port`; `None` for an empty address.
///
/// # Errors
/// As [`process::listen`].
pub async fn tcp(address: &str) -> Result<Option<TcpListener>, listen::Error> {
    if address.is_empty() {
        return Ok(None);
    }
    Ok(Some(listen::tcp(listen::resolve(address).await?).await?))
}

/// Waits until the process stops.
pub async fn stopped(mut stop: Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves xDS without TLS.
pub fn serve_plain(server: &Server<MeshCatalog>, listener: Plain, stop: Stop) -> JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move {
        let router = server.transport().add_routes(discovery(&server));
        let stop = stopped(stop);
        let served = match listener {
            Plain::Tcp(listener) => {
                router.serve_with_incoming_shutdown(pin!(incoming::tcp(listener)), stop).await
            }
            Plain::Unix(listener) => {
                router.serve_with_incoming_shutdown(pin!(incoming::unix(listener)), stop).await
            }
        };
        ended("plaintext gRPC", served);
    })
}

/// Serves xDS over TLS, and certificates if somebody signs them.
pub fn serve_tls(
    server: &Server<MeshCatalog>,
    certificates: Option<ca::Service>,
    tls: &Arc<Tls>,
    listener: TcpListener,
    stop: Stop,
) -> JoinHandle<()> {
    let server = server.clone();
    let connections = tls.incoming(listener).map(|accepted: io::Result<Connection>| {
        accepted.map(|connection| {
            let info = connection.info();
            let (address, certificates) = (info.address, info.certs.clone());
            Io::new(connection, Transport { address, tls: true, certificates, unix: None })
        })
    });
    tokio::spawn(async move {
        let certificates =
            certificates.map(|service| InterceptedService::new(service.into_server(), with_connection));
        let routes = match certificates {
            Some(certificates) => with_reflection(
                Routes::new(server.clone()).add_service(certificates),
                &[DISCOVERY, CERTIFICATES],
            ),
            None => discovery(&server),
        };
        let router = server.transport().add_routes(routes);
        ended("gRPC over TLS", router.serve_with_incoming_shutdown(connections, stopped(stop)).await);
    })
}

/// The discovery service alone.
fn discovery(server: &Server<MeshCatalog>) -> Routes {
    with_reflection(Routes::new(server.clone()), &[DISCOVERY])
}

/// Lets tools ask about `services`, whoever they are: what they are told is public.
fn with_reflection(routes: Routes, services: &[&'static str]) -> Routes {
    routes.add_service(Reflection::<V1>::of(services)).add_service(Reflection::<V1Alpha>::of(services))
}

/// What the transport knows of the peer, in the words of the certificate service.
fn with_connection(mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
    if let Some(transport) = request.extensions().get::<Transport>() {
        let info = ConnectionInfo { certs: transport.certificates.clone(), address: transport.address };
        request.extensions_mut().insert(info);
    }
    Ok(request)
}

/// Serves HTTP.
pub fn serve_http(listener: TcpListener, router: axum::Router, stop: Stop) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move {
        ended("HTTP", axum::serve(listener, service).with_graceful_shutdown(stopped(stop)).await);
    })
}

/// Serves HTTP, and xDS without TLS to those who speak gRPC there (as pilot/pkg/bootstrap/server.go: `initServers`, where
/// gRPC has no port of its own).
pub fn serve_both(
    server: &Server<MeshCatalog>,
    listener: TcpListener,
    pages: axum::Router,
    stop: Stop,
) -> JoinHandle<()> {
    let grpc = discovery(server).into_axum_router();
    let either = axum::Router::new().fallback(move |mut request: Request| {
        let address = request.extensions().get::<Transport>().and_then(|transport| transport.address);
        if let Some(address) = address {
            // where pages look for it
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let mut router = if is_grpc(&request) { grpc.clone() } else { pages.clone() };
        async move { router.call(request).await }
    });
    let router = server.transport().accept_http1(true).add_routes(either.into());
    tokio::spawn(async move {
        let incoming = pin!(incoming::tcp(listener));
        ended("HTTP and plaintext gRPC", router.serve_with_incoming_shutdown(incoming, stopped(stop)).await);
    })
}

fn is_grpc(request: &Request) -> bool {
    let content = request.headers().get(http::header::CONTENT_TYPE);
    request.version() == http::Version::HTTP_2
        && content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

fn ended<E: std::fmt::Display>(what: &str, served: Result<(), E>) {
    if let Err(error) = served {
        tracing::error!("{what}: {error}");
    }
}
