//! How many scripts administrators run at once: a named number runs, a named number waits for a while, the next one is
//! told to come again. Whatever their scripts do, there is room left for everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use campanile_model::limits::{
    EVALUATION_WAIT_MS, EVALUATIONS_RUNNING_MAX, EVALUATIONS_WAITING_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::ApiError;

/// The turns of `POST /api/scripts/evaluate`.
#[derive(Debug, Clone)]
pub(crate) struct Evaluations {
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    patience: Duration,
}

impl Default for Evaluations {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(EVALUATIONS_RUNNING_MAX)),
            waiting: Arc::default(),
            patience: Duration::from_millis(EVALUATION_WAIT_MS),
        }
    }
}

impl Evaluations {
    /// A turn, which ends when it is dropped.
    ///
    /// # Errors
    /// 503 with `Retry-After` when too many wait already, or the turn does not come in time.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let _place = Place::take(&self.waiting)?;
        let turn = Arc::clone(&self.running).acquire_owned();
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(ApiError::unavailable("overloaded", "the server is stopping")),
            Err(_elapsed) => Err(ApiError::unavailable(
                "overloaded",
                format!(
                    "{EVALUATIONS_RUNNING_MAX} scripts of evaluate calls run already; waited {} s for one to end",
                    self.patience.as_secs()
                ),
            )),
        }
    }
}

/// One of the places of those who wait.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, ApiError> {
        let before = waiting.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(waiting));
        if before >= EVALUATIONS_WAITING_MAX {
            return Err(ApiError::unavailable(
                "overloaded",
                format!("{before} evaluate calls wait for their turn already"),
            ));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn as_many_run_as_the_limit_says_and_the_next_is_told_to_come_again() {
        let evaluations = Evaluations { patience: Duration::ZERO, ..Evaluations::default() };
        runtime().block_on(async {
            let mut turns = Vec::new();
            for _ in 0..EVALUATIONS_RUNNING_MAX {
                turns.push(evaluations.turn().await.unwrap());
            }
            assert_eq!(evaluations.turn().await.unwrap_err().status(), 503);
            turns.pop();
            assert!(evaluations.turn().await.is_ok());
            assert_eq!(evaluations.waiting.load(Ordering::Acquire), 0, "nobody waits any more");
        });
    }

    #[test]
    fn only_so_many_wait() {
        let evaluations = Evaluations::default();
        let places: Vec<_> = (0..EVALUATIONS_WAITING_MAX)
            .map(|_| Place::take(&evaluations.waiting).unwrap_or_else(|_| panic!("there is room")))
            .collect();
        runtime().block_on(async {
            assert_eq!(evaluations.turn().await.unwrap_err().status(), 503);
        });
        drop(places);
        assert_eq!(evaluations.waiting.load(Ordering::Acquire), 0);
    }
}
