//! What a processor that claims gets: what was born for it or its neighbours, what a look at the database finds, or both in the order
//! of the queue.
//!
//! Differs because the database is asked only when something that waits there may come first.

use std::time::Instant as Monotonic;

use campanile_model::{Instant, QueueOrder};

use super::births::InHand;
use super::claims;
use super::failure::is_lease_lapsed;
use super::order;
use super::store::PostgresStore;
use super::turns;
use crate::contract::{Claim, ClaimRequest, StoreError};

impl PostgresStore {
    /// At most `look_max` events, where no order is kept, and the lease that they were claimed under.
    fn claim_once(
        &self,
        request: &ClaimRequest<'_>,
        look_max: usize,
    ) -> Result<(Claim, i64), StoreError> {
        let connection = self.writers.take()?;
        // Once more when the lease turns out to have lapsed, or the queue to keep an order.
        for _ in 0..3 {
            let token = self.shared.node.token();
            let order = order::of(&*self.shared.orders.known(&connection)?, request.queue);
            let began = Monotonic::now();
            let claiming = self.claims.claiming.read();
            let claimed = match order {
                QueueOrder::Parallel => {
                    let request = ClaimRequest { limit: look_max, ..request.clone() };
                    claims::claim(&connection, &self.claims, &request, token)
                }
                order => turns::claim(&connection, &self.claims, request, (token, order)),
            };
            drop(claiming);
            self.claims.asked.note(began.elapsed());
            match claimed {
                Ok(Ok(claim)) if order == QueueOrder::Parallel && claim.order != order => {
                    self.shared.orders.forget();
                }
                Ok(claim) => return Ok((claim?, token)),
                Err(error) if is_lease_lapsed(&error) => {
                    // Whoever is first registers for all.
                    let forget = || self.claims.forget_all(token);
                    self.shared.node.replace(&connection, token, forget)?;
                }
                Err(error) => {
                    self.claims.unanswered.note(request.claimed_by);
                    return Err(error.into());
                }
            }
        }
        Ok((Claim::default(), self.shared.node.token()))
    }

    /// Asks the database for at most `look_max` events. Returns the lease that they were claimed under too.
    fn look(
        &self,
        request: &ClaimRequest<'_>,
        look_max: usize,
    ) -> Result<(Claim, i64), StoreError> {
        let ask = || self.claim_once(request, look_max).map_err(|error| self.located(error));
        let (claim, token) = ask()?;
        if !claim.events.is_empty() || claim.more {
            return Ok((claim, token));
        }
        match self.unless_stale(request, claim) {
            Some(claim) => Ok((claim, token)),
            None => ask(),
        }
    }

    /// This claim, which found nothing; `None`, and it is given back, when another processor has had something for too long.
    fn unless_stale(&self, request: &ClaimRequest<'_>, claim: Claim) -> Option<Claim> {
        let (stale, ends) = self.claims.take_stale(request);
        if stale.is_empty() {
            let due = claim.next_due.into_iter().chain(ends.map(Instant::from_millis)).min();
            return Some(Claim { next_due: due, ..claim });
        }
        self.claims.births.take_out(&stale);
        self.give_back(stale);
        None
    }

    /// Events to handle: what was born for the processor, or what a look at the database finds.
    pub(super) fn claim_some(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError> {
        let now = Monotonic::now();
        let births = &self.claims.births;
        if self.shared.orders.may_be_kept(request.queue) {
            // It goes by turns by now.
            let born = births.drain_queue(request.queue);
            self.give_back(self.claims.take_out_all(&born));
        }
        let in_hand = births.in_hand(request, now);
        if self.goes_first(request, in_hand) {
            // What was not its own any more leaves nothing.
            let taken = births.take(request, (&self.claims, now));
            if let Some(claim) = taken.filter(|claim| !claim.events.is_empty()) {
                return Ok(claim);
            }
        } else if let Some(rest) = births.rests(request, now)
            && let Some(claim) = self.unless_stale(request, rest)
        {
            return Ok(claim);
        }
        let is_answered = || !self.claims.unanswered.has(request.claimed_by);
        let look_max = births.begin_look(request, now, is_answered());
        let looked = self.look(request, look_max);
        let found = (looked.as_ref().ok().map(|(claim, _)| claim), look_max);
        births.end_look(request, found, (Monotonic::now(), is_answered()));
        match looked {
            Err(error) if in_hand == InHand::Nothing => Err(error),
            looked => Ok(self.with_born(request, looked, now)),
        }
    }

    /// Whether what a processor has in hand goes before all that waits in the database.
    fn goes_first(&self, request: &ClaimRequest<'_>, in_hand: InHand) -> bool {
        let first = match in_hand {
            InHand::Nothing | InHand::LookIsOld => return false,
            InHand::BeforeAll => return true,
            InHand::Beside(first) => first,
        };
        let waits_before = self
            .writers
            .take()
            .and_then(|connection| claims::waits_before(&connection, &self.claims, request, first));
        waits_before.map_or_else(
            |error| {
                tracing::debug!(%error, "what waits is not known; what was born goes first");
                true
            },
            |waits| !waits,
        )
    }

    /// What a look found and what was born, in the order of both.
    fn with_born(
        &self,
        request: &ClaimRequest<'_>,
        looked: Result<(Claim, i64), StoreError>,
        at: Monotonic,
    ) -> Claim {
        let births = &self.claims.births;
        let (more, next_due) = match looked {
            Ok((claim, token)) => {
                let known = (claim.more, claim.next_due);
                if let Some(by_itself) = births.add(request, claim, token) {
                    return by_itself;
                }
                known
            }
            Err(error) => {
                tracing::debug!(%error, "what waits is not known; what was born is handled");
                (true, None)
            }
        };
        let Some(claim) = births.take(request, (&self.claims, at)) else {
            return Claim { more, next_due, ..Claim::default() };
        };
        if claim.more {
            // There is something for idle ones, and what was found so woke nobody.
            self.shared.notices.wake(request.queue, request.now.as_millis());
        }
        let next_due = claim.next_due.into_iter().chain(next_due).min();
        Claim { more: claim.more || more, next_due, ..claim }
    }
}
