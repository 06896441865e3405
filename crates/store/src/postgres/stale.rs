//! Which claims of this program have waited for too long to be begun: somebody else may have them.

use std::collections::HashMap;

use campanile_model::SysId;
use parking_lot::Mutex;

use super::held::Claimed;
use crate::contract::{ClaimRequest, TAKE_BACK_AFTER};

/// [`TAKE_BACK_AFTER`] in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "some seconds")]
const TAKE_BACK_AFTER_MS: i64 = TAKE_BACK_AFTER.as_millis() as i64;

/// Until when nothing will have waited for too long, and what was told of that, by who asked: to find out takes a look at all
/// that is claimed.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<HashMap<String, (i64, Option<i64>)>>);

impl Fresh {
    /// See [`super::held::Claims::take_stale`].
    pub(super) fn take_stale(
        &self,
        request: &ClaimRequest<'_>,
        all: &Mutex<HashMap<SysId, Claimed>>,
    ) -> (Vec<Claimed>, Option<i64>) {
        let now = request.now.as_millis();
        let latest = now.saturating_add(TAKE_BACK_AFTER_MS);
        let mut fresh_until = self.0.lock();
        // Unless the clock was set back since.
        if let Some((until, next)) = fresh_until.get(request.claimed_by)
            && now < *until
            && *until <= latest
        {
            return (Vec::new(), *next);
        }
        let mut stale = Vec::new();
        let mut next: Option<i64> = None;
        all.lock().retain(|_, claimed| {
            if claimed.slot.is_some() || claimed.ending || *claimed.queue != *request.queue {
                return true;
            }
            // The clock may have been set back since.
            claimed.at = claimed.at.min(now);
            let ends = claimed.at.saturating_add(TAKE_BACK_AFTER_MS);
            if ends > now {
                // Its own may be another's by then.
                next = Some(next.map_or(ends, |next| next.min(ends)));
                return true;
            }
            if *claimed.by == *request.claimed_by {
                return true;
            }
            stale.push(claimed.clone());
            false
        });
        // Of processors that are gone, too.
        fresh_until.retain(|_, (until, _)| *until > now);
        // What is claimed from now on is not older then.
        fresh_until.insert(request.claimed_by.to_owned(), (next.unwrap_or(latest), next));
        (stale, next)
    }
}
