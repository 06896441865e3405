//! The door to the product: open while it starts, so that whoever watches it is told so, and until it has stopped.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use campanile_engine::Engine;
use campanile_model::limits::PASSWORD_CHECKS_WAITING_MAX;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::app::App;
use crate::connections::{self, Connections};
use crate::evaluations::Evaluations;
use crate::layers::Around;
use crate::serve::{Listener, ServeError};
use crate::{routes, starting};

/// Upper bounds of the histograms, in seconds: from a quick commit to the longest script that anybody waits for.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// How often samples are folded into their buckets: nobody may ever ask for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Answers on an address from now on: first that the product is starting, then as the product.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    /// Connections that may be open at once.
    places: usize,
    inside: Arc<OnceLock<Around>>,
    is_draining: Arc<AtomicBool>,
    metrics: Option<PrometheusHandle>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    upkeep: Option<JoinHandle<()>>,
}

impl Door {
    /// Opens the door, for `connections` callers at once; 0 takes as many as make sense on this machine. Needs the runtime
    /// that it is to be served by.
    ///
    /// # Errors
    /// [`ServeError::Broken`] when the address cannot be served.
    pub fn open(listener: Listener, connections: usize) -> Result<Self, ServeError> {
        let listener = TcpListener::from_std(listener.socket)?;
        let address = listener.local_addr()?;
        // A second server in one process (tests) finds a recorder already there: then this one has no /metrics.
        let metrics = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .ok()
            .and_then(|builder| builder.install_recorder().ok());
        let inside: Arc<OnceLock<Around>> = Arc::default();
        let switch = Switch { inside: Arc::clone(&inside) };
        let (stop, told) = watch::channel(false);
        let places = connections::places(connections);
        let connections = Connections::new(places);
        let serving = connections::serve(listener, connections, switch, told);
        let upkeep = metrics.clone().map(|handle| {
            tokio::spawn(async move {
                let mut clock = tokio::time::interval(UPKEEP);
                loop {
                    clock.tick().await;
                    handle.run_upkeep();
                }
            })
        });
        Ok(Self {
            address,
            places,
            inside,
            is_draining: Arc::default(),
            metrics,
            stop,
            serving: tokio::spawn(serving),
            upkeep,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the product answers.
    pub fn admit(&self, engine: Arc<Engine>) {
        let app = App {
            started: engine.clock().now(),
            engine,
            metrics: self.metrics.clone(),
            password_checks: Arc::new(Semaphore::new(PASSWORD_CHECKS_WAITING_MAX)),
            waiting_max: self.places / 2,
            evaluations: Evaluations::default(),
            is_draining: Arc::clone(&self.is_draining),
        };
        if self.inside.set(routes::service(app)).is_err() {
            tracing::error!("a second engine was let in; the first one goes on");
        }
    }

    /// Serves until `stop` completes; requests that are under way are answered.
    ///
    /// # Errors
    /// [`ServeError::Broken`].
    pub async fn serve_until(
        mut self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let served = tokio::select! {
            broken = &mut self.serving => broken,
            () = stop => {
                self.is_draining.store(true, Ordering::Release);
                self.stop.send_replace(true);
                (&mut self.serving).await
            }
        };
        if let Some(upkeep) = self.upkeep {
            upkeep.abort();
        }
        served.map_err(|panicked| ServeError::Broken(std::io::Error::other(panicked)))
    }
}

/// Hands every request to whoever is inside.
#[derive(Debug, Clone)]
struct Switch {
    inside: Arc<OnceLock<Around>>,
}

impl Service<Request> for Switch {
    type Response = Response;
    type Error = Infallible;
    type Future = <Around as Service<Request>>::Future;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As whoever is inside.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.inside.get() {
            Some(inside) => inside.clone().call(request),
            None => Box::pin(ready(Ok(starting::answer(&request)))),
        }
    }
}
