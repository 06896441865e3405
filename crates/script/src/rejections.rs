//! Promises that were rejected and that nobody handled: a script error when the run is over (scripting §2.1).

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::runtime::RejectionTracker;
use rquickjs::{Ctx, Persistent, Value};

type Kept = Persistent<Value<'static>>;

/// Rejected promises of one nesting level with their reasons, oldest first.
#[derive(Default)]
pub(crate) struct Rejections {
    open: RefCell<Vec<(Kept, Kept)>>,
}

impl Rejections {
    /// The engine's callback that keeps this list.
    pub(crate) fn tracker(self: &Rc<Self>) -> RejectionTracker {
        let list = Rc::clone(self);
        Box::new(move |ctx: Ctx<'_>, promise: Value<'_>, reason: Value<'_>, is_handled: bool| {
            let promise = Persistent::save(&ctx, promise);
            let mut open = list.open.borrow_mut();
            open.retain(|(known, _)| *known != promise);
            if !is_handled {
                open.push((promise, Persistent::save(&ctx, reason)));
            }
        })
    }

    /// Forgets all and gives the reason of the oldest one.
    pub(crate) fn take_first(&self) -> Option<Kept> {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        open.into_iter().next().map(|(_, reason)| reason)
    }
}
