//! What the suite needs of an engine, and what its cases have at hand.

use std::sync::Arc;

use campanile_model::query::{BindMode, BindOptions, BoundQuery, ParseLimits, bind, parse};
use campanile_model::testing::{self, TableSpec};
use campanile_model::{Dictionary, Record, TableDef};
use campanile_store::{CommitMark, Select, Store, StoreError, WriteTx};

/// A database of its own that can be closed and opened again.
pub(crate) trait Engine {
    /// A new, empty database.
    fn fresh() -> Self
    where
        Self: Sized;

    /// Opens it; anew when it was closed.
    fn open(&self) -> Arc<dyn Store>;

    /// Opens it with room for little more than what is there.
    fn open_nearly_full(&self) -> Arc<dyn Store>;
}

/// Runs every case of the suite on an engine.
macro_rules! conformance {
    ($engine:ty) => {
        crate::conformance::engine::cases! { $engine;
            records:
                a_row_reads_back_as_it_was_written,
                a_row_of_a_class_is_a_row_of_its_ancestors,
                keys_are_kept_as_spelled_and_found_ignoring_case,
                an_update_writes_the_named_fields_and_no_other,
                updating_or_deleting_what_is_not_there_says_so,
                a_taken_key_is_refused_and_named,
                a_taken_unique_value_is_refused_and_named,
                nil_and_other_case_are_not_taken,
                text_of_any_kind_survives,
                a_value_that_does_not_fit_its_column_is_refused,
                fields_that_were_not_asked_for_are_nil;
            rows:
                a_commit_is_seen_by_whoever_asks_next,
                only_the_fields_that_were_written_change,
                a_written_value_reads_as_the_database_gives_it_back,
                what_is_not_committed_is_nobody_elses,
                an_update_that_was_refused_changes_nothing,
                several_writes_of_one_row_end_in_the_last,
                a_row_is_the_same_from_each_of_its_classes_and_in_any_spelling,
                one_transaction_may_write_a_row_as_two_of_its_classes,
                a_row_has_the_fields_that_were_asked_for,
                of_many_that_ask_at_once_each_gets_its_own_row,
                of_many_that_ask_for_different_fields_at_once_each_gets_its_own,
                a_table_that_got_another_definition_is_read_by_it,
                a_large_transaction_is_seen_whole,
                readers_beside_a_writer_never_go_back;
            transactions:
                nobody_else_sees_what_is_not_committed,
                a_reader_keeps_its_view,
                a_dropped_transaction_leaves_nothing,
                going_back_to_a_savepoint_keeps_what_was_before,
                a_savepoint_inside_another_ends_with_it,
                events_of_a_savepoint_that_was_undone_never_appear,
                marks_rise_and_become_durable,
                sixteen_writers_lose_nothing,
                who_reads_a_row_to_change_it_loses_no_change,
                a_full_database_refuses_and_stays_usable,
                what_was_committed_is_there_after_a_reopen,
                meta_values_are_replaced_and_rolled_back,
                a_closed_store_refuses;
            answers:
                an_answer_is_kept_with_its_row_or_not_at_all,
                of_two_that_keep_an_answer_under_one_key_the_second_is_refused,
                events_and_answers_share_one_space_of_keys,
                a_key_is_free_again_after_a_day,
                a_key_lives_as_long_as_the_call_that_comes_says;
            tables:
                ensuring_twice_changes_nothing,
                a_new_field_is_nil_in_old_rows,
                a_new_class_gets_its_columns_and_old_rows_stay,
                a_column_never_changes_its_type,
                what_is_dropped_does_not_come_back,
                tables_made_in_a_transaction_that_is_dropped_are_not_there;
            queries:
                case_is_ignored_beyond_ascii,
                nil_orders_first_and_the_key_orders_last,
                a_page_is_the_rows_after_the_offset,
                a_list_of_five_thousand_keys_is_served,
                a_query_of_thousands_of_terms_is_served,
                dotted_paths_follow_references_and_respect_their_class,
                times_in_milliseconds_compare_by_the_second,
                a_moment_in_rfc3339_compares_to_the_millisecond,
                wildcards_of_sql_are_ordinary_characters;
            query_property:
                sql_and_memory_agree;
        }
    };
}
pub(crate) use conformance;

/// Expands to one test function a case.
macro_rules! cases {
    ($engine:ty; $($group:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                crate::conformance::$group::$case(&<$engine as crate::conformance::engine::Engine>::fresh());
            }
        )+)+
    };
}
pub(crate) use cases;

/// Tables of the suite: the fixture of the model, and what it lacks.
pub(crate) fn dictionary() -> Dictionary {
    let fixture = testing::dictionary();
    let more = TableSpec::dictionary(&[TableSpec {
        name: "thing",
        parent: "",
        display: "label",
        columns: &[
            ("label", "string", ""),
            ("code", "string", ""),
            ("at", "glide_date_time", ""),
            ("ratio", "float", ""),
            ("big", "longint", ""),
        ],
    }]);
    let thing = more.tables().map(|table| {
        let mut table = TableDef::clone(table);
        for field in &mut table.fields {
            match &*field.name {
                "code" => field.unique = true,
                "at" => field.storage = campanile_model::ColumnStorage::EpochMillis,
                "ratio" => field.scale = 7,
                _ => {}
            }
        }
        Arc::new(table)
    });
    Dictionary::new(fixture.tables().cloned().chain(thing), std::collections::HashMap::new())
}

/// The store with the tables of [`dictionary`] in it.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dictionary: Dictionary,
}

impl Bench {
    pub(crate) fn new(engine: &dyn Engine) -> Self {
        Self::on(engine.open())
    }

    pub(crate) fn on(store: Arc<dyn Store>) -> Self {
        let dictionary = dictionary();
        let bench = Self { store, dictionary };
        bench.in_tx(|tx| {
            let tables: Vec<_> = bench.dictionary.tables().cloned().collect();
            tx.ensure_tables(&bench.dictionary, &tables)
        });
        bench
    }

    pub(crate) fn table(&self, name: &str) -> &Arc<TableDef> {
        self.dictionary.table(name).unwrap()
    }

    /// A row of `table` with `fields`.
    pub(crate) fn row(&self, table: &str, fields: &[(&str, &str)]) -> Record {
        let mut record = Record::empty(Arc::clone(self.table(table)));
        record.set("sys_class_name", table);
        for (name, value) in fields {
            assert!(record.set(name, *value), "{table} has no field {name}");
        }
        record
    }

    pub(crate) fn write(&self) -> Box<dyn WriteTx> {
        Arc::clone(&self.store).write().unwrap()
    }

    /// Does `work` in one transaction that commits.
    pub(crate) fn in_tx(
        &self,
        work: impl FnOnce(&mut dyn WriteTx) -> Result<(), StoreError>,
    ) -> CommitMark {
        let mut tx = self.write();
        work(&mut *tx).unwrap();
        tx.commit().unwrap()
    }

    pub(crate) fn insert(&self, rows: &[Record]) {
        self.in_tx(|tx| rows.iter().try_for_each(|row| tx.insert(row)));
    }

    pub(crate) fn get(&self, table: &str, sys_id: &str) -> Option<Record> {
        let read = Arc::clone(&self.store).read().unwrap().get(self.table(table), sys_id).unwrap();
        let at_hand = self.store.row(self.table(table), sys_id).unwrap();
        assert_eq!(read.as_ref().map(Record::values), at_hand.as_ref().map(Record::values));
        read
    }

    pub(crate) fn query(&self, table: &str, text: &str) -> BoundQuery {
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
        let query = parse(text, ParseLimits::HTTP).unwrap();
        let bound = bind(&query, self.table(table), &self.dictionary, options);
        assert!(bound.dropped.is_empty(), "{:?}", bound.dropped);
        bound
    }

    pub(crate) fn select(&self, select: &Select) -> Vec<Record> {
        Arc::clone(&self.store).read().unwrap().select(select).unwrap()
    }

    /// The values of `field` in the rows of `text`.
    pub(crate) fn found(&self, table: &str, text: &str, field: &str) -> Vec<String> {
        let rows = self.select(&Select::new(self.query(table, text)));
        rows.iter().map(|row| row.text(field).to_owned()).collect()
    }

    pub(crate) fn count(&self, table: &str, text: &str) -> u64 {
        Arc::clone(&self.store).read().unwrap().count(&self.query(table, text)).unwrap()
    }
}

/// A key that ends in `number`.
pub(crate) fn key(number: usize) -> String {
    format!("{number:032x}")
}
