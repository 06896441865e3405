//! The records that calls from outside are about: their display values and, where asked for, their snapshots.

use std::cell::OnceCell;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Instant, Record, SysId, TableDef};
use campanile_store::{ReadTx, Select, Store, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::FireRequest;
use crate::events::registry::EventRegistry;
use crate::records::display::{self, Formats};
use crate::records::lookup;
use crate::session::Session;

/// The records that the calls of one batch are about.
pub(super) struct Subjects<'a> {
    engine: &'a Engine,
    session: &'a Session,
    committed: Committed<'a>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(engine: &'a Engine, session: &'a Session) -> Self {
        let committed = Committed { store: engine.store(), view: OnceCell::new() };
        Self { engine, session, committed }
    }

    /// Adds the display value and the values of the request's record, as far as they are wanted.
    pub(super) fn describe(&self, request: &mut FireRequest) -> Result<(), EngineError> {
        if request.table.is_empty() || !SysId::is_valid(&request.instance) {
            return Ok(());
        }
        let dictionary = self.engine.dictionary()?;
        // An unknown table is refused when the call is resolved.
        let Ok(table) = lookup::table(&dictionary, &request.table) else { return Ok(()) };
        let registry = self.engine.definitions::<EventRegistry>()?;
        let wants_all = registry.find(&request.name).is_some_and(|r| r.capture_snapshot);
        // Values that nobody will see are not read.
        let found = if wants_all {
            self.committed.get(table, &request.instance)?
        } else {
            let fields = display::fields_of(table);
            self.engine.store().row_with(table, &request.instance, &fields)?
        };
        if let Some(record) = found {
            let formats = Formats::of(self.engine, &self.session.user);
            let display = display::record(&self.committed, &dictionary, &record, &formats)?;
            request.record_display = Some(display);
            request.record = wants_all.then_some(record);
        }
        Ok(())
    }
}

/// What is committed: rows from memory where they are at hand, everything else in a view that is opened when it is
/// needed.
struct Committed<'a> {
    store: &'a Arc<dyn Store>,
    view: OnceCell<Box<dyn ReadTx>>,
}

impl Committed<'_> {
    fn view(&self) -> Result<&dyn ReadTx, StoreError> {
        if let Some(view) = self.view.get() {
            return Ok(&**view);
        }
        let opened = Arc::clone(self.store).read()?;
        Ok(&**self.view.get_or_init(|| opened))
    }
}

impl ReadTx for Committed<'_> {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.store.row(table, sys_id)
    }

    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError> {
        self.view()?.select(select)
    }

    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError> {
        self.view()?.count(query)
    }

    fn kept_answer(
        &self,
        key: &str,
        content: u64,
        forgotten: Instant,
    ) -> Result<Option<String>, StoreError> {
        self.view()?.kept_answer(key, content, forgotten)
    }
}
