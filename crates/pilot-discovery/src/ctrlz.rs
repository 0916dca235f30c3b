//! ControlZ: introspection of the process and its log levels, over HTTP on a port for operators (as pkg/ctrlz).
//!
//! Each topic has a page for people (`/scopez/`) and JSON for programs (`/scopej/`). Nobody proves who they are here, so
//! it listens on this machine only, unless it is told otherwise, and shows no secrets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, put};
use process::listen;
use process::log::Levels;
use process::signals::{Raised, raise};
use serde_json::Value;
use tokio::net::TcpListener;

mod page;
mod scopes;
mod state;
#[cfg(test)]
mod tests;

/// How long after the answer to `PUT /homej/exit` the process begins to stop.
const EXIT_DELAY: Duration = Duration::from_secs(1);
/// No request has a larger body.
const BODY: usize = 64 << 10;

/// The topics: prefix of their addresses, title.
const TOPICS: &[(&str, &str)] = &[
    ("scope", "Logging Scopes"),
    ("mem", "Memory Usage"),
    ("env", "Environment Variables"),
    ("proc", "Process Info"),
    ("arg", "Command-Line Arguments"),
    ("version", "Version Info"),
    ("signal", "Signals"),
];

/// Serves ControlZ on `address` (`*` for all) and `port` until the process ends. A port that cannot be had is logged and
/// ControlZ left out, as upstream; then there is no address to give back.
///
/// # Errors
/// The port is not a number.
pub async fn start(address: &str, port: &str, levels: Levels) -> Result<Option<SocketAddr>, String> {
    let port: u16 = port.parse().map_err(|_| {
        format!("invalid argument {port:?} for --ctrlz_port: want a port between 0 and 65535")
    })?;
    let listener = match open(address, port).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("unable to start ControlZ: {error}");
            return Ok(None);
        }
    };
    let at = listener.local_addr().map_err(|error| format!("ControlZ: {error}"))?;
    let router = router(levels, at.ip().is_loopback());
    tracing::info!("ControlZ available at {at}");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("ControlZ: {error}");
        }
    });
    Ok(Some(at))
}

async fn open(address: &str, port: u16) -> Result<TcpListener, listen::Error> {
    let host = match address {
        "*" => String::new(),
        address if address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => format!("[{address}]"),
        address => address.to_owned(),
    };
    listen::tcp(listen::resolve(&format!("{host}:{port}")).await?).await
}

/// The pages. With `local`, requests that name a host other than this machine are refused: a page of the web that gave
/// its own name this machine's address must not stop the process.
fn router(levels: Levels, local: bool) -> Router {
    let mut router = Router::new()
        .route("/", get(home))
        .route("/homej", get(async || json(&state::home())))
        .route("/homej/", get(async || json(&state::home())))
        .route("/homej/exit", put(exit))
        .route("/scopej", get(scopes::all))
        .route("/scopej/", get(scopes::all))
        .route("/scopej/{scope}", get(scopes::one).put(scopes::change))
        .route("/memj/forcecollection", put(collect))
        .route("/signalj/SIGUSR1", put(signal).post(signal));
    for (prefix, _) in TOPICS {
        let (html, data) = (format!("/{prefix}z"), format!("/{prefix}j"));
        router = router.route(&html, get(show)).route(&format!("{html}/"), get(show));
        if let Some(read) = state::reader(prefix) {
            router = router
                .route(&data, get(async move || json(&read())))
                .route(&format!("{data}/"), get(async move || json(&read())));
        }
    }
    let router = router
        .fallback(async || (StatusCode::NOT_FOUND, Html(page::not_found())))
        .with_state(levels)
        .layer(DefaultBodyLimit::max(BODY));
    if local { router.layer(middleware::from_fn(for_this_machine)) } else { router }
}

async fn for_this_machine(request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if names_this_machine(named) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "ask for it as localhost or by its address\n").into_response()
}

fn names_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.is_empty() || host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], format!("{value}\n")).into_response()
}

async fn home() -> Html<String> {
    Html(page::home(&state::home()))
}

async fn show(State(levels): State<Levels>, request: Request) -> Response {
    let path = request.uri().path().trim_matches('/').trim_end_matches('z');
    let Some((prefix, title)) = TOPICS.iter().find(|(prefix, _)| *prefix == path) else {
        return (StatusCode::NOT_FOUND, Html(page::not_found())).into_response();
    };
    let html = match *prefix {
        "scope" => page::scopes(title, &levels.list()),
        "signal" => page::signals(title),
        prefix => page::topic(title, &state::reader(prefix).map_or(Value::Null, |read| read())),
    };
    Html(html).into_response()
}

/// Stops the process as a signal would: what is under way is finished.
async fn exit() -> StatusCode {
    tracing::info!("ControlZ: told to exit");
    tokio::spawn(async {
        tokio::time::sleep(EXIT_DELAY).await;
        if let Err(error) = raise(Raised::Terminate) {
            tracing::error!("ControlZ: cannot exit: {error}");
        }
    });
    StatusCode::ACCEPTED
}

/// Memory is freed where its use ends: by the time anybody asks, there is nothing left to collect.
async fn collect() -> StatusCode {
    StatusCode::ACCEPTED
}

async fn signal() -> StatusCode {
    match raise(Raised::User1) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(error) => {
            tracing::error!("ControlZ: cannot send SIGUSR1: {error}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// A scope's name in a path.
type Named = Path<String>;
