//! What is promised to processors while a group of appends is under way (`births`), and what is born of it.

use std::sync::Arc;

use campanile_model::limits::IDEMPOTENCY_KEY_MS;
use campanile_model::{Event, EventState, NewEvent, SysId};

use super::births::Births;
use super::effects::Effects;

/// For whom the events of a group under way will be born. While a processor is promised some, they may stand in the database
/// and not be known here yet: nothing is given back for it then. What is not kept is promised no more once this is dropped.
#[derive(Debug)]
pub(super) struct Promises {
    births: Arc<Births>,
    /// The lease that they will stand on.
    pub(super) token: i64,
    /// In the order of the events.
    pub(super) to: Vec<Option<Arc<str>>>,
}

/// A group of which nobody knows whether it was committed, or what was born with it.
#[derive(Debug)]
pub(super) struct InDoubt {
    pub(super) token: i64,
    pub(super) number: i64,
    /// What may have been born, and claimed by whom.
    pub(super) events: Vec<(SysId, Arc<str>)>,
    pub(super) to: Vec<Option<Arc<str>>>,
    /// Who is to look once that is known: nobody was told of any event of the group.
    pub(super) wakes: Effects,
}

impl Promises {
    /// These promises of `births`, for events that will stand on the lease `token`.
    pub(super) fn new(births: Arc<Births>, token: i64, to: Vec<Option<Arc<str>>>) -> Self {
        Self { births, token, to }
    }

    /// Nobody knows whether the group was committed under `number`, or what was born with it: it stays promised until that is
    /// found out.
    pub(super) fn are_in_doubt(mut self, number: i64, events: &[&NewEvent]) {
        let to = std::mem::take(&mut self.to);
        let mut wakes = Effects::default();
        for event in events {
            wakes.wake(&event.queue, None, event.process_on.as_millis());
        }
        let events = events.iter().zip(&to);
        let events =
            events.filter_map(|(event, by)| Some((event.sys_id, Arc::clone(by.as_ref()?))));
        let events = events.collect();
        self.births.still_in_doubt(InDoubt { token: self.token, number, events, to, wakes });
    }
}

impl Drop for Promises {
    fn drop(&mut self) {
        self.births.withdraw(&self.to);
    }
}

/// What a claim would have read of `event` after it was appended under `sequence` and claimed by `by`.
pub(super) fn born(event: &NewEvent, sequence: i64, by: &Arc<str>) -> Event {
    let fired = NewEvent { key_life_ms: IDEMPOTENCY_KEY_MS, content_hash: 0, ..event.clone() };
    Event {
        sequence,
        origin_id: fired.sys_id,
        state: EventState::Queued,
        processed: None,
        processing_duration_ms: None,
        claimed_by: Arc::clone(by),
        epoch: 0,
        attempts: 0,
        lapses: 0,
        only_failed: false,
        coalesced: 0,
        error_code: Arc::from(""),
        error_message: Arc::from(""),
        fired,
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::time::{Duration, Instant as Monotonic};

    use super::*;
    use crate::contract::{Claim, ClaimRequest};
    use crate::postgres::claims::Claims;
    use crate::postgres::inbox::Moment;
    use crate::testing::{NOW, event};

    const TOKEN: i64 = 3;
    const LOOK_EVERY: Duration = Duration::from_secs(4);

    struct House {
        claims: Claims,
        began: Monotonic,
    }

    impl House {
        /// With a processor that has looked and rests.
        fn new() -> Self {
            let house = Self { claims: Claims::new(None, LOOK_EVERY), began: Monotonic::now() };
            house.births().stay("", "by", 5);
            house.look(&Claim::default());
            house
        }

        fn births(&self) -> &Arc<Births> {
            &self.claims.births
        }

        fn look(&self, found: &Claim) {
            self.births().begin_look(&request(), self.began, true);
            self.births().end_look(&request(), Some(found), (self.began, true));
        }

        /// Promised so many milliseconds after the look.
        fn promise(&self, after: u64) -> Option<Promises> {
            let millis = NOW.as_millis() + i64::try_from(after).expect("some seconds");
            let now = Moment { millis, at: self.began + Duration::from_millis(after) };
            self.births().promise(&[&event("a")], TOKEN, now)
        }

        /// How many were handed out, and how many found nobody.
        fn deliver(&self, promises: &Promises) -> (usize, usize) {
            let event = event("a");
            let born = vec![born(&event, 1, &Arc::from("by"))];
            let delivered = self.births().deliver(promises, born, (&self.claims, NOW.as_millis()));
            let taken = self.births().take(&request(), (&self.claims, self.began));
            (taken.map_or(0, |taken| taken.claim.events.len()), delivered.orphans.len())
        }
    }

    fn request() -> ClaimRequest<'static> {
        ClaimRequest { queue: "", limit: 9, claimed_by: "by", by_priority: true, now: NOW }
    }

    #[test]
    fn what_was_promised_to_who_has_left_meanwhile_is_given_back() {
        let house = House::new();
        let promises = house.promise(0).unwrap();
        assert!(house.births().leave("by").is_empty());
        assert_eq!(house.deliver(&promises), (0, 1));
        assert_eq!(house.claims.len(), 0, "nobody holds it");
        assert!(house.promise(0).is_none());
    }

    #[test]
    fn what_was_promised_under_a_lease_that_has_lapsed_meanwhile_is_nobodys_here() {
        let house = House::new();
        let promises = house.promise(0).unwrap();
        house.claims.forget_all(TOKEN);
        assert_eq!(house.deliver(&promises), (0, 0));
        house.look(&Claim::default());
        assert!(house.promise(0).is_none(), "not under that lease any more");
    }

    #[test]
    fn while_something_is_promised_nothing_is_given_back_as_unknown() {
        let house = House::new();
        let promises = house.promise(0).unwrap();
        house.claims.unanswered.note("by");
        assert_eq!(house.claims.known_of_unanswered("by"), None);
        let doubted = event("a");
        promises.are_in_doubt(7, &[&doubted]);
        assert_eq!(house.claims.known_of_unanswered("by"), None, "nor while it is in doubt");
        let groups = house.births().in_doubt();
        assert_eq!(
            (groups.len(), &groups[0].events),
            (1, &vec![(doubted.sys_id, Arc::from("by"))])
        );
        house.births().withdraw(&groups[0].to);
        assert_eq!(house.claims.known_of_unanswered("by"), Some(Vec::new()));
        house.births().begin_look(&request(), house.began, false);
        assert!(house.promise(0).is_none(), "nothing is born for it until that is settled");
        house.births().end_look(&request(), Some(&Claim::default()), (house.began, false));
        assert!(house.promise(0).is_none(), "nor after a look that was answered");
    }

    #[test]
    fn an_inbox_is_shut_when_something_becomes_due_and_when_others_may_have_gone_unheard() {
        let house = House::new();
        house.look(&Claim { next_due: Some(NOW.plus_millis(50)), ..Claim::default() });
        assert!(house.promise(49).is_some());
        assert!(house.promise(50).is_none());
        house.look(&Claim::default());
        assert!(house.promise(3_999).is_some());
        assert!(house.promise(4_000).is_none());
        house.look(&Claim::default());
        house.births().told("elsewhere", 0);
        assert!(house.promise(1).is_some());
        house.births().told("", NOW.as_millis() + 2);
        assert!(house.promise(1).is_some());
        assert!(house.promise(2).is_none());
    }

    #[test]
    fn who_rests_asks_again_when_something_is_told_or_due_and_when_others_may_have_gone_unheard() {
        let house = House::new();
        let rests = |after: u64| {
            let now = NOW.plus_millis(i64::try_from(after).unwrap());
            let at = house.began + Duration::from_millis(after);
            house.births().rests(&ClaimRequest { now, ..request() }, at)
        };
        let served = || assert_eq!(house.deliver(&house.promise(0).unwrap()), (1, 0));
        served();
        assert_eq!(rests(3_999).unwrap().next_due, None);
        assert!(rests(0).is_none(), "it rests already: something else has woken it, or it polls");
        served();
        assert!(rests(4_000).is_none());
        house.births().told("", NOW.as_millis() + 50);
        assert_eq!(rests(49).unwrap().next_due, Some(NOW.plus_millis(50)));
        served();
        assert!(rests(50).is_none());
        house.births().may_have_missed_some();
        assert!(rests(0).is_none(), "a program has gone, and told nobody");
        let events = vec![born(&event("a"), 2, &Arc::from("by"))];
        house.look(&Claim { events, more: true, ..Claim::default() });
        assert!(rests(0).is_none());
        house.look(&Claim::default());
        served();
        let promises = house.promise(0).unwrap();
        assert!(rests(0).is_some(), "it is not there yet, and wakes when it comes");
        assert_eq!(house.deliver(&promises), (1, 0));
    }

    #[test]
    fn nothing_is_born_for_who_has_been_busy_for_long_and_what_was_is_taken_out() {
        let house = House::new();
        let promises = house.promise(3_000).unwrap();
        assert_eq!(house.deliver(&promises), (1, 0), "in hand since the beginning");
        let promises = house.promise(100).unwrap();
        let queued = born(&event("a"), 2, &Arc::from("by"));
        let id = queued.fired.sys_id;
        house.births().deliver(&promises, vec![queued], (&house.claims, NOW.as_millis()));
        drop(promises);
        assert!(house.promise(101).is_none());
        let of_slow = |after| house.births().of_slow(house.began + Duration::from_millis(after));
        assert_eq!(of_slow(100), []);
        assert_eq!(of_slow(101), [(Arc::from("by"), vec![id])]);
        assert_eq!(of_slow(101), []);
    }

    /// A look may hang; and what is born while it goes on must not fill a batch, as for one that rests.
    #[test]
    fn who_looks_is_as_busy_as_who_has_events_in_hand() {
        let house = House::new();
        house.births().begin_look(&request(), house.began, true);
        let all: Vec<_> = std::iter::from_fn(|| house.promise(100)).take(9).collect();
        assert_eq!(all.len(), 5, "its room");
        house.look(&Claim::default());
        house.births().begin_look(&request(), house.began, true);
        drop(all);
        assert!(house.promise(101).is_none());
        house.look(&Claim::default());
        assert!(house.promise(101).is_some(), "it rests again");
    }

    /// Under load something always comes while a processor looks: it must not keep the inbox shut for ever.
    #[test]
    fn who_had_caught_up_may_be_promised_events_while_it_looks() {
        let house = House::new();
        house.births().told("", NOW.as_millis());
        assert!(house.promise(0).is_none());
        house.births().begin_look(&request(), house.began, true);
        assert!(house.promise(0).is_some());
        house.births().end_look(&request(), None, (house.began, true));
        assert!(house.promise(0).is_none(), "the look failed");
        house.births().begin_look(&request(), house.began, true);
        assert!(house.promise(0).is_none(), "nobody knows what waits");
    }
}
