//! How a processor sleeps and is woken.

use std::time::Duration;

use campanile_model::{Clock, Instant};
use parking_lot::{Condvar, Mutex};

/// Wakes the processors of one queue. What happened before [`Signal::ticket`] is seen by the look that follows it;
/// what happens after it ends the wait: no wake-up falls between the look and the wait.
#[derive(Debug, Default)]
pub struct Signal {
    state: Mutex<State>,
    /// Where those wait who are woken by work.
    awake: Condvar,
    /// Where those wait who are not: a wake-up for work must not be spent on them.
    deaf: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Counts wake-ups for work.
    work: u64,
    /// Counts wake-ups for everybody: another configuration, stop.
    all: u64,
    /// Processors that wait and were not woken for everybody since.
    waiting: usize,
}

/// What had happened when a processor began to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    work: u64,
    all: u64,
}

/// How long to wait when nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the next event becomes due, as far as the last look showed.
    pub next_due: Option<Instant>,
    /// Longest wait.
    pub poll: Duration,
    /// Whether new work ends the wait (`campanile.queues.wake`).
    pub wake: bool,
}

impl Signal {
    /// To be taken before looking for work.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        let state = self.state.lock();
        Ticket { work: state.work, all: state.all }
    }

    /// Events were added, for now or for later: one processor looks, and learns when the next one is due.
    pub fn work(&self) {
        self.state.lock().work += 1;
        self.awake.notify_one();
    }

    /// Every processor looks at the queue and at its configuration.
    pub fn everybody(&self) {
        {
            let mut state = self.state.lock();
            state.all += 1;
            state.waiting = 0;
        }
        self.awake.notify_all();
        self.deaf.notify_all();
    }

    /// How many processors wait and have seen the last [`Signal::everybody`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Waits until something happens after `ticket`, an event becomes due, or patience ends.
    pub fn wait(&self, ticket: Ticket, patience: Patience, clock: &dyn Clock) {
        let mut state = self.state.lock();
        if state.all != ticket.all || (patience.wake && state.work != ticket.work) {
            return;
        }
        let until = |due: Option<Instant>| -> Duration {
            let millis = due.map(|due| due.as_millis().saturating_sub(clock.now().as_millis()));
            let millis = millis.map(|millis| u64::try_from(millis).unwrap_or(0));
            millis.map_or(patience.poll, Duration::from_millis).min(patience.poll)
        };
        let next_due = patience.next_due.filter(|_| patience.wake);
        let place = if patience.wake { &self.awake } else { &self.deaf };
        state.waiting += 1;
        // One wait: whoever is woken looks, and an unneeded look is one indexed read.
        place.wait_for(&mut state, until(next_due));
        if state.all == ticket.all {
            state.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_model::ManualClock;

    const FOREVER: Patience =
        Patience { next_due: None, poll: Duration::from_secs(86_400), wake: true };

    #[test]
    fn work_between_the_look_and_the_wait_is_not_missed() {
        let signal = Signal::default();
        let clock = ManualClock::starting_at(Instant::from_millis(0));
        let ticket = signal.ticket();
        signal.work();
        signal.wait(ticket, FOREVER, &clock);
    }

    #[test]
    fn an_event_that_is_due_already_ends_the_wait() {
        let signal = Signal::default();
        let clock = ManualClock::starting_at(Instant::from_millis(1_000));
        let due = Patience { next_due: Some(Instant::from_millis(500)), ..FOREVER };
        signal.wait(signal.ticket(), due, &clock);
    }

    #[test]
    fn without_wake_ups_only_a_new_configuration_ends_the_wait_early() {
        let signal = Signal::default();
        let clock = ManualClock::starting_at(Instant::from_millis(0));
        let ticket = signal.ticket();
        signal.work();
        signal.everybody();
        signal.wait(ticket, Patience { wake: false, ..FOREVER }, &clock);
    }
}
