//! What is promised, born and handed out, step by step.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Event, NewEvent, SysId};

use super::{Births, InHand, Moment, Promises, born};
use crate::contract::{Claim, ClaimRequest};
use crate::postgres::held::Claims;

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
        self.births().end_look(&request(), (Some(found), 9), (self.began, true));
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
        (taken.map_or(0, |taken| taken.events.len()), delivered.orphans.len())
    }
}

fn request() -> ClaimRequest<'static> {
    ClaimRequest { queue: "", limit: 9, claimed_by: "by", by_priority: true, now: NOW }
}

#[test]
fn what_was_promised_to_who_has_left_meanwhile_is_given_back() {
    let house = House::new();
    let promises = house.promise(0).unwrap();
    assert_eq!(house.births().leave("by"), (Vec::new(), None));
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
    assert_eq!((groups.len(), &groups[0].events), (1, &vec![(doubted.sys_id, Arc::from("by"))]));
    house.births().withdraw(&groups[0].to);
    assert_eq!(house.claims.known_of_unanswered("by"), Some(Vec::new()));
    house.births().begin_look(&request(), house.began, false);
    assert!(house.promise(0).is_none(), "nothing is born for it until that is settled");
    house.births().end_look(&request(), (Some(&Claim::default()), 9), (house.began, false));
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
    house.births().end_look(&request(), (None, 9), (house.began, true));
    assert!(house.promise(0).is_none(), "the look failed");
    house.births().begin_look(&request(), house.began, true);
    assert!(house.promise(0).is_none(), "nobody knows what waits");
}

/// Events with these numbers are born for `by`, whose inbox has room for a hundred; `other` is of the same queue.
fn with_other(sequences: impl IntoIterator<Item = i64>) -> House {
    let house = House::new();
    house.births().stay("", "other", 5);
    house.births().stay("", "by", 100);
    let born = |sequence| born(&event("a"), sequence, &Arc::from("by"));
    let events = sequences.into_iter().map(born).collect();
    let promises = house.promise(0).expect("it has room");
    house.births().deliver(&promises, events, (&house.claims, NOW.as_millis()));
    house
}

fn take(house: &House, claimed_by: &'static str, limit: usize) -> Vec<Event> {
    let request = ClaimRequest { claimed_by, limit, ..request() };
    let claim = house.births().take(&request, (&house.claims, house.began));
    claim.map_or_else(Vec::new, |claim| claim.events)
}

#[test]
fn all_processors_of_a_queue_take_the_first_that_is_left_whoever_it_was_born_for() {
    let house = with_other([4, 2, 1, 3]);
    let sequences =
        |events: &[Event]| events.iter().map(|event| event.sequence).collect::<Vec<_>>();
    let first = take(&house, "other", 1);
    assert_eq!(sequences(&first), [1]);
    assert_eq!(&*first[0].claimed_by, "other");
    assert!(house.claims.begin(&first[0].fired.sys_id, "by", 0).is_none());
    assert!(house.claims.begin(&first[0].fired.sys_id, "other", 1).is_some());
    assert!(house.claims.begin(&first[0].fired.sys_id, "other", 1).is_none(), "it has begun");
    assert_eq!(sequences(&take(&house, "by", 1)), [2]);
    assert_eq!(sequences(&take(&house, "other", 9)), [3, 4]);
    assert!(take(&house, "by", 9).is_empty());
}

#[test]
fn what_is_no_claim_of_who_it_was_born_for_any_more_is_passed_on_to_nobody() {
    let house = with_other([1, 2]);
    let keys: Vec<SysId> = take(&house, "by", 9).iter().map(|event| event.fired.sys_id).collect();
    let stale = |sequence| Claim {
        events: vec![born(&NewEvent { sys_id: keys[0], ..event("a") }, sequence, &Arc::from("by"))],
        ..Claim::default()
    };
    let tiny = ClaimRequest { limit: 0, ..request() };
    // It was claimed again since, under another number.
    assert!(house.births().add(&tiny, stale(77), TOKEN).is_none());
    assert!(take(&house, "other", 9).is_empty());
    let first = house.claims.held(&keys[0]).expect("it is claimed").sequence;
    assert!(house.claims.begin(&keys[0], "by", 0).is_some());
    assert!(house.births().add(&tiny, stale(first), TOKEN).is_none());
    assert!(take(&house, "other", 9).is_empty(), "it has begun");
}

/// It may have used up the wake of another one.
#[test]
fn who_leaves_tells_whether_its_neighbours_have_something_before_them() {
    let house = with_other([1, 2]);
    assert_eq!(house.births().leave("other"), (Vec::new(), Some(Arc::from(""))));
    assert_eq!(house.births().leave("other"), (Vec::new(), None), "it has left");
    let (born, queue) = house.births().leave("by");
    assert_eq!((born.len(), queue), (2, None));
}

#[test]
fn who_turns_out_to_be_slower_than_it_was_gives_back_the_last_of_what_it_cannot_handle_soon() {
    let house = with_other(1..=40);
    assert!(house.births().stay("", "by", 20).is_empty(), "a little more is soon handled");
    let given = house.births().stay("", "by", 0);
    assert_eq!(given.len(), 31, "all but one claim's worth");
    let left: Vec<i64> = take(&house, "by", 99).iter().map(|event| event.sequence).collect();
    assert_eq!(left, (1..=9).collect::<Vec<_>>());
    assert!(given.iter().all(|given| house.claims.held(given).is_some()), "the caller gives back");
}

#[test]
fn many_are_taken_out_only_when_one_event_takes_really_long_and_a_look_is_given_more_time() {
    let slow = |house: &House, after| {
        house.births().of_slow(house.began + Duration::from_millis(after)).len()
    };
    for (count, within, after) in [(9, 100, 101), (10, 1_000, 1_001)] {
        let house = with_other(1..=count);
        house.births().begun("by", house.began);
        assert_eq!((slow(&house, within), slow(&house, after)), (0, 1), "{count} events");
    }
    let house = with_other([1]);
    house.births().begin_look(&request(), house.began, true);
    assert_eq!((slow(&house, 1_000), slow(&house, 1_001)), (0, 1));
}

#[test]
fn who_was_woken_for_what_another_one_has_taken_goes_on_resting_once() {
    let house = House::new();
    house.births().stay("", "other", 5);
    let other = ClaimRequest { claimed_by: "other", ..request() };
    let looks = || {
        house.births().begin_look(&other, house.began, true);
        let found = (Some(&Claim::default()), 9);
        house.births().end_look(&other, found, (house.began, true));
    };
    let rests = |request: &ClaimRequest<'_>| house.births().rests(request, house.began).is_some();
    looks();
    assert!(!rests(&other), "it polls");
    assert_eq!(house.deliver(&house.promise(0).unwrap()), (1, 0));
    assert!(rests(&other));
    assert!(!rests(&other), "something else has woken it");
    house.births().told("", NOW.as_millis());
    looks();
    assert_eq!(house.deliver(&house.promise(0).unwrap()), (1, 0));
    house.births().told("", NOW.as_millis());
    assert!(!rests(&other), "something waits");
}

#[test]
fn what_is_in_hand_goes_first_until_something_is_told_or_the_last_look_is_old() {
    let house = House::new();
    let in_hand =
        |after| house.births().in_hand(&request(), house.began + Duration::from_millis(after));
    assert_eq!(in_hand(0), InHand::Nothing);
    let promises = house.promise(0).unwrap();
    let events = vec![born(&event("a"), 1, &Arc::from("by"))];
    house.births().deliver(&promises, events, (&house.claims, NOW.as_millis()));
    assert_eq!(in_hand(1_999), InHand::BeforeAll);
    assert_eq!(in_hand(2_000), InHand::LookIsOld);
    assert!(matches!(in_hand(4_000), InHand::Beside(_)));
    house.births().told("", NOW.as_millis());
    assert!(matches!(in_hand(0), InHand::Beside(_)));
}

#[test]
fn a_look_comes_by_steps_to_as_many_as_may_be_born_and_hands_out_what_was_asked_for() {
    let house = House::new();
    let look_max = || {
        let most = house.births().begin_look(&request(), house.began, true);
        house.births().end_look(&request(), (None, most), (house.began, true));
        most
    };
    house.births().stay("", "by", 100);
    assert_eq!(look_max(), 9, "how large they are is not known");
    let found = |range: std::ops::Range<i64>, parm1: &str| Claim {
        events: range
            .map(|sequence| {
                born(&NewEvent { parm1: parm1.into(), ..event("a") }, sequence, &Arc::from("by"))
            })
            .collect(),
        ..Claim::default()
    };
    let looks = |claim: &Claim, max| {
        house.births().begin_look(&request(), house.began, true);
        house.births().end_look(&request(), (Some(claim), max), (house.began, true));
    };
    looks(&found(0..9, ""), 9);
    let fits = house.births().add(&request(), found(0..9, ""), TOKEN);
    assert_eq!(fits.map(|claim| claim.events.len()), Some(9));
    assert_eq!(look_max(), 36);
    looks(&found(0..35, ""), 36);
    assert_eq!(look_max(), 36, "it has found all");
    looks(&found(0..36, ""), 36);
    assert_eq!(look_max(), 100, "its room");
    let large = "x".repeat(1 << 20);
    let all = found(0..12, &large);
    house.claims.add(&all.events, (None, TOKEN, NOW.as_millis()), false);
    assert!(house.births().add(&request(), all, TOKEN).is_none());
    assert_eq!(look_max(), 9, "so large ones come by steps again");
    looks(&found(0..9, ""), 9);
    looks(&found(0..36, ""), 36);
    assert_eq!(look_max(), 51, "of such large ones");
    assert!(
        house.births().add(&request(), found(12..13, ""), TOKEN).is_none(),
        "in the order of both"
    );
    let mut lapsed = found(20..21, "");
    lapsed.events[0].lapses = 1;
    assert!(house.births().add(&request(), lapsed, TOKEN).is_some(), "that comes by itself");
    let taken = house.births().take(&request(), (&house.claims, house.began)).unwrap();
    assert_eq!((taken.events.len(), taken.more), (9, true));
    house.claims.forget_all(TOKEN);
    let late = house.births().add(&request(), found(30..50, ""), TOKEN);
    assert!(late.is_some(), "its lease has lapsed");
}

#[test]
fn what_is_looked_for_counts_as_in_hand() {
    let house = House::new();
    house.births().stay("", "by", usize::MAX);
    let many = |count: usize| Claim {
        events: (0..count).map(|_| born(&event("a"), 1, &Arc::from("by"))).collect(),
        ..Claim::default()
    };
    house.births().begin_look(&request(), house.began, true);
    house.births().end_look(&request(), (Some(&many(9_000)), 9_000), (house.began, true));
    assert!(
        house.births().add(&ClaimRequest { limit: 99_999, ..request() }, many(1), TOKEN).is_some()
    );
    assert_eq!(house.births().begin_look(&request(), house.began, true), 2_000, "one answer");
    let events: Vec<_> = (0..20_000).map(|_| event("a")).collect();
    let events: Vec<_> = events.iter().collect();
    house.births().end_look(&request(), (Some(&Claim::default()), 2_000), (house.began, true));
    house.births().begin_look(&request(), house.began, true);
    let now = Moment { millis: NOW.as_millis(), at: house.began };
    let promises = house.births().promise(&events, TOKEN, now).expect("it has caught up");
    assert_eq!(promises.to.iter().flatten().count(), 18_000);
}

#[test]
fn who_takes_the_last_of_what_is_in_hand_goes_on_when_something_was_told_of() {
    let house = House::new();
    let promises = house.promise(0).unwrap();
    let deliver = |sequence| {
        let events = vec![born(&event("a"), sequence, &Arc::from("by"))];
        house.births().deliver(&promises, events, (&house.claims, NOW.as_millis()));
    };
    let take = || house.births().take(&request(), (&house.claims, house.began)).unwrap().more;
    deliver(1);
    assert!(!take());
    deliver(2);
    house.births().told("", NOW.as_millis());
    assert!(take());
}

#[test]
fn a_program_has_no_more_in_hand_than_it_may_however_many_processors_it_has() {
    let house = House::new();
    house.births().stay("", "by", usize::MAX);
    let events: Vec<_> = (0..20_001).map(|_| event("a")).collect();
    let events: Vec<_> = events.iter().collect();
    let now = Moment { millis: NOW.as_millis(), at: house.began };
    let promises = house.births().promise(&events, TOKEN, now).unwrap();
    assert_eq!(promises.to.iter().flatten().count(), 20_000);
    assert!(house.promise(0).is_none());
    drop(promises);
    house.look(&Claim::default());
    let large = NewEvent { parm1: "x".repeat(33 << 20).into(), ..event("a") };
    let promises = house.births().promise(&[&large, &large], TOKEN, now).unwrap();
    assert_eq!(promises.to.iter().flatten().count(), 2, "who rests may have a claim's worth");
    house.look(&Claim::default());
    let queued = born(&large, 1, &Arc::from("by"));
    house.births().deliver(&promises, vec![queued], (&house.claims, NOW.as_millis()));
    drop(promises);
    house.births().begun("by", house.began);
    house.births().begin_look(&request(), house.began, true);
    assert!(house.births().promise(&[&large], TOKEN, now).is_none(), "but not who is busy");
}
