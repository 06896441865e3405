//! One thread of the process that ends scripts whose time is up while a native function keeps the engine from
//! looking at the clock itself.
//!
//! The engine's own interrupt is polled once in 10,000 jumps, so a loop round a slow native (`indexOf` on a huge
//! string) would run for hours. Scripts test a byte at every loop head; this thread sets it. Runs never take a
//! lock here: they store a deadline, and the thread looks at the deadlines.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Longest sleep while a script runs: how late a termination can come in the worst case.
const TICK: Duration = Duration::from_millis(20);
/// Rounds without a running script after which the thread parks until the next one starts.
const IDLE_ROUNDS_MAX: u32 = 50;

const DISARMED: u64 = 0;
const EXPIRED: u64 = u64::MAX;

/// What one nesting level shares with the watchdog and with compiled code: the *terminated* byte and a deadline.
pub(crate) struct Flag {
    byte: AtomicU8,
    deadline_nanos: AtomicU64,
}

impl Flag {
    /// A flag that is down, known to the watchdog as long as it lives.
    pub(crate) fn new() -> std::io::Result<Arc<Self>> {
        let flag =
            Arc::new(Self { byte: AtomicU8::new(0), deadline_nanos: AtomicU64::new(DISARMED) });
        Watchdog::get()?.flags.lock().push(Arc::downgrade(&flag));
        Ok(flag)
    }

    /// Whether the run is over.
    pub(crate) fn is_up(&self) -> bool {
        self.byte.load(Ordering::Relaxed) != 0
    }

    /// Ends the run.
    pub(crate) fn raise(&self) {
        self.byte.store(1, Ordering::Relaxed);
    }

    /// From now on the flag goes up by itself at `deadline`.
    pub(crate) fn arm(&self, deadline: Instant) {
        let nanos = nanos_since_start(deadline).clamp(1, EXPIRED - 1);
        self.deadline_nanos.store(nanos, Ordering::SeqCst);
        if let Some(Ok(watchdog)) = WATCHDOG.get()
            && watchdog.asleep.swap(false, Ordering::SeqCst)
        {
            watchdog.thread.unpark();
        }
    }

    /// Moves the deadline of an armed flag. One whose time has come stays up.
    pub(crate) fn rearm(&self, deadline: Instant) {
        let present = self.deadline_nanos.load(Ordering::SeqCst);
        let nanos = nanos_since_start(deadline).clamp(1, EXPIRED - 1);
        // The only other writer is the watchdog, and all that it writes is that the time has come.
        if present != EXPIRED
            && self
                .deadline_nanos
                .compare_exchange(present, nanos, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            && let Some(Ok(watchdog)) = WATCHDOG.get()
            && watchdog.asleep.swap(false, Ordering::SeqCst)
        {
            watchdog.thread.unpark();
        }
    }

    /// Takes the flag down. The watchdog may be about to raise it: that is waited for, so that it cannot hit the
    /// next run.
    pub(crate) fn disarm(&self) {
        if self.deadline_nanos.swap(DISARMED, Ordering::SeqCst) == EXPIRED {
            while self.byte.load(Ordering::SeqCst) == 0 {
                std::hint::spin_loop();
            }
        }
        self.byte.store(0, Ordering::SeqCst);
    }

    /// Address of the byte, for the view that compiled code reads.
    pub(crate) fn byte_address(&self) -> *mut u8 {
        self.byte.as_ptr()
    }

    /// Raises the flag when its time has come; otherwise the deadline, if there is one.
    fn look(&self, now_nanos: u64) -> Option<u64> {
        let deadline = self.deadline_nanos.load(Ordering::SeqCst);
        if deadline == DISARMED || deadline == EXPIRED {
            return None;
        }
        if now_nanos < deadline {
            return Some(deadline);
        }
        let claimed = self.deadline_nanos.compare_exchange(
            deadline,
            EXPIRED,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        if claimed.is_ok() {
            self.byte.store(1, Ordering::SeqCst);
        }
        None
    }
}

struct Watchdog {
    flags: Arc<Mutex<Vec<Weak<Flag>>>>,
    asleep: Arc<AtomicBool>,
    thread: Thread,
}

static WATCHDOG: OnceLock<std::io::Result<Watchdog>> = OnceLock::new();

impl Watchdog {
    fn get() -> std::io::Result<&'static Self> {
        WATCHDOG
            .get_or_init(Self::start)
            .as_ref()
            .map_err(|error| std::io::Error::new(error.kind(), error.to_string()))
    }

    fn start() -> std::io::Result<Self> {
        let flags = Arc::new(Mutex::new(Vec::new()));
        let asleep = Arc::new(AtomicBool::new(false));
        let (seen, sleeping) = (Arc::clone(&flags), Arc::clone(&asleep));
        let handle = thread::Builder::new()
            .name("script-watchdog".to_owned())
            .stack_size(64 << 10)
            .spawn(move || watch(&seen, &sleeping))?;
        Ok(Self { flags, asleep, thread: handle.thread().clone() })
    }
}

/// Watches for as long as the process lives.
fn watch(flags: &Mutex<Vec<Weak<Flag>>>, asleep: &AtomicBool) {
    let mut idle_rounds = 0;
    loop {
        let now = nanos_since_start(Instant::now());
        if let Some(deadline) = next_deadline(flags, now) {
            idle_rounds = 0;
            thread::park_timeout(Duration::from_nanos(deadline - now).min(TICK));
        } else if idle_rounds < IDLE_ROUNDS_MAX {
            idle_rounds += 1;
            thread::park_timeout(TICK);
        } else {
            asleep.store(true, Ordering::SeqCst);
            // Look again after saying so: a run that armed before it saw `asleep` is seen here.
            if next_deadline(flags, nanos_since_start(Instant::now())).is_none() {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
            idle_rounds = 0;
        }
    }
}

fn next_deadline(flags: &Mutex<Vec<Weak<Flag>>>, now_nanos: u64) -> Option<u64> {
    let mut soonest: Option<u64> = None;
    flags.lock().retain(|flag| {
        let Some(flag) = flag.upgrade() else { return false };
        if let Some(deadline) = flag.look(now_nanos) {
            soonest = Some(soonest.map_or(deadline, |known| known.min(deadline)));
        }
        true
    });
    soonest
}

/// Nanoseconds on this process's own scale; an atomic can hold them, an `Instant` it cannot.
fn nanos_since_start(at: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    u64::try_from(at.saturating_duration_since(start).as_nanos()).unwrap_or(EXPIRED - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_until_up(flag: &Flag) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !flag.is_up() {
            assert!(Instant::now() < give_up, "the watchdog never raised the flag");
            thread::yield_now();
        }
    }

    #[test]
    fn a_deadline_that_has_come_raises_the_flag_and_disarming_takes_it_down() {
        let flag = Flag::new().unwrap();
        for _ in 0..3 {
            flag.arm(Instant::now() + Duration::from_millis(1));
            wait_until_up(&flag);
            flag.disarm();
            assert!(!flag.is_up());
        }
    }

    #[test]
    fn a_disarmed_flag_stays_down_while_another_expires() {
        let (quiet, loud) = (Flag::new().unwrap(), Flag::new().unwrap());
        quiet.arm(Instant::now() + Duration::from_millis(1));
        quiet.disarm();
        loud.arm(Instant::now() + Duration::from_millis(5));
        wait_until_up(&loud);
        assert!(!quiet.is_up());
        loud.disarm();
    }
}
