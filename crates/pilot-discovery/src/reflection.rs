//! gRPC server reflection: tools such as grpcurl ask which services there are, and of what their messages consist.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_reflection::server::Builder;
use tower::{Service, ServiceExt as _};

#[cfg(test)]
mod tests;

/// A version of the protocol.
pub trait Version: Send + Sync + 'static {
    /// Its service.
    const NAME: &'static str;
    /// A server of it.
    fn make(builder: Builder<'static>) -> Option<Served>;
}

/// A server, whichever version it is of.
pub type Served = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The present version.
#[derive(Debug, Clone, Copy)]
pub struct V1;

/// The one before, which older tools speak.
#[derive(Debug, Clone, Copy)]
pub struct V1Alpha;

impl Version for V1 {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";

    fn make(builder: Builder<'static>) -> Option<Served> {
        builder.build_v1().ok().map(Served::new)
    }
}

impl Version for V1Alpha {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";

    fn make(builder: Builder<'static>) -> Option<Served> {
        builder.build_v1alpha().ok().map(Served::new)
    }
}

/// Answers what is asked about the services of one port. Descriptors take tens of megabytes, so they are read when somebody
/// asks for the first time. Cheap to clone.
pub struct Reflection<V> {
    services: Arc<[&'static str]>,
    served: Arc<OnceLock<Option<Served>>>,
    version: PhantomData<V>,
}

impl<V> Clone for Reflection<V> {
    fn clone(&self) -> Self {
        Self { services: self.services.clone(), served: self.served.clone(), version: PhantomData }
    }
}

impl<V: Version> Reflection<V> {
    /// Of these services, by their full names.
    #[must_use]
    pub fn of(services: &[&'static str]) -> Self {
        Self { services: services.into(), served: Arc::default(), version: PhantomData }
    }

    fn served(&self) -> Option<Served> {
        let make = || {
            let builder =
                Builder::configure().register_encoded_file_descriptor_set(proto::reflect::descriptor_set());
            let named = self.services.iter().copied().chain([V1::NAME, V1Alpha::NAME]);
            V::make(named.fold(builder, Builder::with_service_name))
        };
        self.served.get_or_init(make).clone()
    }
}

impl<V: Version> NamedService for Reflection<V> {
    const NAME: &'static str = V::NAME;
}

impl<V: Version> Service<Request<Body>> for Reflection<V> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let made = tokio::task::spawn_blocking(move || this.served()).await;
            match made.ok().flatten() {
                Some(served) => served.oneshot(request).await,
                None => Ok(Status::internal("the descriptors cannot be read").into_http()),
            }
        })
    }
}
