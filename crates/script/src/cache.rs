//! Texts that were made ready for compiling, kept for the next run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::compile::{self, Prepared};
use crate::run::{ScriptKind, SyntaxError};

/// Texts kept; the cache starts afresh when it is full, which costs each script one compilation.
pub(crate) const SCRIPTS_MAX: usize = 1_024;

/// A text made ready, or why it is none.
pub(crate) type Outcome = Result<Rc<Prepared>, SyntaxError>;

/// A text and what came of it.
type Met = (Arc<str>, Outcome);

/// Made-ready texts of one sandbox, by kind and text.
#[derive(Default)]
pub(crate) struct ScriptCache {
    /// By address of the text. The entry keeps the text, so the address cannot come to mean another one.
    by_address: RefCell<HashMap<(ScriptKind, usize), Met>>,
    by_text: RefCell<HashMap<(ScriptKind, Arc<str>), Outcome>>,
}

impl ScriptCache {
    /// The text made ready; from the cache when it was met before.
    pub(crate) fn get(&self, kind: ScriptKind, text: &Arc<str>) -> Outcome {
        let address = (kind, Arc::as_ptr(text).cast::<u8>() as usize);
        if let Some((known, outcome)) = self.by_address.borrow().get(&address)
            && known.len() == text.len()
        {
            return outcome.clone();
        }
        let outcome = self.get_by_text(kind, text);
        let mut by_address = self.by_address.borrow_mut();
        if by_address.len() >= SCRIPTS_MAX {
            by_address.clear();
        }
        by_address.insert(address, (Arc::clone(text), outcome.clone()));
        outcome
    }

    fn get_by_text(&self, kind: ScriptKind, text: &Arc<str>) -> Outcome {
        let key = (kind, Arc::clone(text));
        if let Some(outcome) = self.by_text.borrow().get(&key) {
            return outcome.clone();
        }
        let outcome = compile::prepare(kind, text).map(Rc::new);
        let mut by_text = self.by_text.borrow_mut();
        if by_text.len() >= SCRIPTS_MAX {
            by_text.clear();
        }
        by_text.insert(key, outcome.clone());
        outcome
    }
}
