//! How fast an API server is asked: a bucket of requests that fills at a steady rate. Watches are not counted.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer, Service};

#[cfg(test)]
mod tests;

/// At most so many requests (`--kubernetesApiQPS` and `--kubernetesApiBurst`). Each client has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// In a second, over a long time; zero or less is no limit.
    pub per_second: f64,
    /// At once, after a time without any; at least one.
    pub burst: u32,
}

impl Default for Pace {
    /// Upstream's.
    fn default() -> Self {
        Self { per_second: 80.0, burst: 160 }
    }
}

/// The requests that may be made now, and the moment that is true of.
#[derive(Debug)]
struct Bucket {
    pace: Pace,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// Takes one request out; how long it has to wait for that. Who asks first goes first.
    fn take(&self, now: Instant) -> Duration {
        let most = f64::from(self.pace.burst.max(1));
        let mut level = self.level.lock();
        let passed = now.saturating_duration_since(level.1).as_secs_f64();
        let left = (level.0 + passed * self.pace.per_second).min(most) - 1.0;
        *level = (left, now.max(level.1));
        if left >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-left / self.pace.per_second).unwrap_or(Duration::MAX)
    }
}

impl<S> Layer<S> for Pace {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Paced<S> {
        let full = || Mutex::new((f64::from(self.burst.max(1)), Instant::now()));
        let bucket = (self.per_second > 0.0).then(|| Arc::new(Bucket { pace: *self, level: full() }));
        Paced { inner, bucket }
    }
}

/// A client that keeps to its [`Pace`].
#[derive(Debug)]
pub struct Paced<S> {
    inner: S,
    bucket: Option<Arc<Bucket>>,
}

impl<S> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // as client-go, whose watches do not wait for its limiter either
        let bucket = self.bucket.as_ref().filter(|_| !is_watch(&request));
        let wait = bucket.map_or(Duration::ZERO, |bucket| bucket.take(Instant::now()));
        // nothing is sent before this is polled
        let answer = self.inner.call(request);
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            answer.await
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}
