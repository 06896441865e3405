//! What is known of one connection: whether it works or waits, and since when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// In place of a time: it does not wait, or has sent nothing.
const NOT: u64 = u64::MAX;

/// How long a connection may keep silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request to the end of its header lines.
    pub(super) head: Duration,
    /// Between two requests, and before the first.
    pub(super) idle: Duration,
    /// For taking the next part of an answer.
    pub(super) answer: Duration,
}

/// One connection. Times are milliseconds since `began`; written by the task that serves it, read by those who look for room.
#[derive(Debug)]
pub(super) struct Line {
    began: Instant,
    /// The end of the last answer, or of what was written of it last; [`NOT`] while a handler works.
    waits_since: AtomicU64,
    /// The first byte after that; [`NOT`] when there is none.
    head_since: AtomicU64,
    /// An answer is being written.
    is_answering: AtomicBool,
    /// The body of the last request was dropped before its end.
    has_unread_body: AtomicBool,
    go: Notify,
}

impl Line {
    /// A connection that waits for its first request.
    pub(super) fn new(began: Instant) -> Self {
        let line = Self {
            began,
            waits_since: AtomicU64::new(NOT),
            head_since: AtomicU64::new(NOT),
            is_answering: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            go: Notify::new(),
        };
        line.waits();
        line
    }

    /// A request has arrived: a handler works on it.
    pub(super) fn works(&self) {
        self.waits_since.store(NOT, Ordering::Release);
        self.head_since.store(NOT, Ordering::Release);
        self.has_unread_body.store(false, Ordering::Release);
    }

    /// The handler has dropped the body before its end.
    pub(super) fn leaves_body(&self) {
        self.has_unread_body.store(true, Ordering::Release);
    }

    /// Whether the handler has not read the body to its end.
    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Acquire)
    }

    /// The answer is there, and is written from now on.
    pub(super) fn answers(&self) {
        self.is_answering.store(true, Ordering::Release);
        self.waits();
    }

    /// Everything that was there to be written was taken.
    pub(super) fn has_flushed(&self) {
        if self.waits_since().is_some() && self.is_answering.swap(false, Ordering::AcqRel) {
            self.waits();
        }
    }

    /// Whether an answer is being written.
    pub(super) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Acquire)
    }

    fn waits(&self) {
        self.waits_since.store(self.now(), Ordering::Release);
    }

    /// Bytes were read.
    pub(super) fn has_read(&self) {
        if self.waits_since().is_some()
            && !self.is_answering()
            && self.head_since.load(Ordering::Acquire) == NOT
        {
            self.head_since.store(self.now(), Ordering::Release);
        }
    }

    /// Bytes were written: the caller takes the answer.
    pub(super) fn has_written(&self) {
        if self.waits_since().is_some() {
            self.waits();
        }
    }

    /// Since when it waits; none while a handler works.
    pub(super) fn waits_since(&self) -> Option<u64> {
        Some(self.waits_since.load(Ordering::Acquire)).filter(|since| *since != NOT)
    }

    /// Whether it has kept silent for longer than `patience`.
    pub(super) fn is_overdue(&self, patience: &Patience) -> bool {
        let Some(since) = self.waits_since() else { return false };
        let head = self.head_since.load(Ordering::Acquire);
        let (since, allowed) = if self.is_answering() {
            (since, patience.answer)
        } else if head == NOT {
            (since, patience.idle)
        } else {
            (since.max(head), patience.head)
        };
        Duration::from_millis(self.now().saturating_sub(since)) > allowed
    }

    /// It is to be closed, if it still waits when it hears of it.
    pub(super) fn tell_to_go(&self) {
        self.go.notify_one();
    }

    /// Returns when it was told to go.
    pub(super) async fn told_to_go(&self) {
        self.go.notified().await;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NOT - 1)
    }
}

#[cfg(test)]
impl Line {
    pub(super) fn set_waiting_since(&self, since: u64) {
        self.waits_since.store(since, Ordering::Release);
    }

    /// Whether it was told to go and has not heard of it.
    pub(super) fn was_told_to_go(&self) -> bool {
        let mut told = std::pin::pin!(self.go.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let is_told = std::future::Future::poll(told.as_mut(), &mut context).is_ready();
        if is_told {
            self.go.notify_one();
        }
        is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(15),
        idle: Duration::from_secs(75),
        answer: Duration::from_secs(60),
    };

    /// A line of a server that began `seconds` ago.
    fn line(seconds: u64) -> Line {
        Line::new(Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap())
    }

    #[test]
    fn a_half_request_is_overdue_long_before_a_silent_connection() {
        let silent = line(100);
        silent.set_waiting_since(50_000);
        assert!(!silent.is_overdue(&PATIENCE));
        let half = line(100);
        half.set_waiting_since(50_000);
        half.head_since.store(50_000, Ordering::Release);
        assert!(half.is_overdue(&PATIENCE));
        silent.set_waiting_since(20_000);
        assert!(silent.is_overdue(&PATIENCE));
    }

    #[test]
    fn bytes_of_a_head_do_not_buy_time_and_an_answer_that_is_taken_does() {
        let half = line(100);
        half.head_since.store(10_000, Ordering::Release);
        half.set_waiting_since(5_000);
        half.has_read();
        assert!(half.is_overdue(&PATIENCE));
        half.has_written();
        assert!(!half.is_overdue(&PATIENCE));
    }

    #[test]
    fn what_comes_while_an_answer_is_written_is_no_head_and_the_answer_has_its_own_time() {
        let slow = line(100);
        slow.answers();
        slow.has_read();
        assert!(slow.is_answering() && slow.head_since.load(Ordering::Acquire) == NOT);
        slow.set_waiting_since(30_000);
        assert!(slow.is_overdue(&PATIENCE), "70 s without taking anything");
        slow.set_waiting_since(50_000);
        assert!(!slow.is_overdue(&PATIENCE));
        slow.has_flushed();
        assert!(!slow.is_answering() && !slow.is_overdue(&PATIENCE));
    }

    #[test]
    fn what_works_is_never_overdue_and_begins_anew_afterwards() {
        let line = line(1_000);
        line.set_waiting_since(0);
        line.has_read();
        line.works();
        line.has_read();
        line.has_written();
        assert!(!line.is_overdue(&PATIENCE) && line.waits_since().is_none());
        line.waits();
        assert!(!line.is_overdue(&PATIENCE));
        assert_eq!(line.head_since.load(Ordering::Acquire), NOT);
    }
}
