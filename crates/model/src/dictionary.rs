//! A snapshot of the data dictionary: every table with its fields, and the choice lists.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fold::equal_ignoring_case;
use crate::table_def::TableDef;

/// Other names that tables answer to (events-and-jobs §1.4).
const TABLE_ALIASES: [(&str, &str); 1] = [("queue_registry", "sysevent_queue")];

/// One row of `sys_choice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Stored value.
    pub value: Arc<str>,
    /// Label in the language of the snapshot.
    pub label: Arc<str>,
    /// Order in the list.
    pub sequence: i64,
    /// Inactive choices still give labels.
    pub inactive: bool,
}

/// All tables and choices at one moment. Immutable: a change of the dictionary makes a new snapshot.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    tables: HashMap<Arc<str>, Arc<TableDef>, foldhash::fast::RandomState>,
    /// By table, then by element: two lookups that need no key of their own.
    choices: HashMap<Arc<str>, HashMap<Arc<str>, Vec<Choice>>>,
}

impl Dictionary {
    /// A snapshot of `tables`, and of `choices` by (table, element).
    #[must_use]
    pub fn new(
        tables: impl IntoIterator<Item = Arc<TableDef>>,
        choices: HashMap<(Arc<str>, Arc<str>), Vec<Choice>>,
    ) -> Self {
        let tables = tables.into_iter().map(|t| (Arc::clone(&t.name), t)).collect();
        let mut by_table: HashMap<Arc<str>, HashMap<Arc<str>, Vec<Choice>>> = HashMap::new();
        for ((table, element), list) in choices {
            by_table.entry(table).or_default().insert(element, list);
        }
        Self { tables, choices: by_table }
    }

    /// The table called `name` (exact case), or that has `name` as its other name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<TableDef>> {
        self.tables.get(name).or_else(|| {
            let (_, table) = TABLE_ALIASES.iter().find(|(alias, _)| *alias == name)?;
            self.tables.get(*table)
        })
    }

    /// All tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        self.tables.values()
    }

    /// The choice list of `element` for rows of `class`: the class's own rows, else the nearest ancestor's
    /// (business-rules §14.1). Empty when there is none.
    #[must_use]
    pub fn choices(&self, class: &str, element: &str) -> &[Choice] {
        let Some(table) = self.table(class) else { return &[] };
        table
            .lineage
            .iter()
            .find_map(|name| self.choices.get(name)?.get(element))
            .map_or(&[], Vec::as_slice)
    }

    /// The label of `value`, if the choice list has it.
    #[must_use]
    pub fn choice_label(&self, class: &str, element: &str, value: &str) -> Option<&Arc<str>> {
        self.choices(class, element).iter().find(|c| &*c.value == value).map(|c| &c.label)
    }

    /// The value whose label is `label`: exact first, then ignoring case.
    #[must_use]
    pub fn choice_value(&self, class: &str, element: &str, label: &str) -> Option<&Arc<str>> {
        let choices = self.choices(class, element);
        choices
            .iter()
            .find(|c| &*c.label == label)
            .or_else(|| choices.iter().find(|c| equal_ignoring_case(&c.label, label)))
            .map(|c| &c.value)
    }
}
