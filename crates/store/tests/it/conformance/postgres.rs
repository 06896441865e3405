//! The suite on PostgreSQL: with statements under names and without, and in distributed mode.

use std::sync::Arc;

use campanile_store::testing::TestDatabase;
use campanile_store::{Connections, PostgresOptions, PostgresStore, StatementNames, Store};

use super::engine::{Engine, conformance};

struct Postgres(TestDatabase);

impl Engine for Postgres {
    fn fresh() -> Self {
        Self(TestDatabase::create())
    }

    fn open(&self) -> Arc<dyn Store> {
        PostgresStore::open(&PostgresOptions::new(self.0.url())).unwrap()
    }

    /// Differs because no bound can be set on a server's files: a trigger answers as a full disk does.
    fn open_nearly_full(&self) -> Arc<dyn Store> {
        self.0.run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT sum(length(label)) FROM thing) > 80000 THEN \
             RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER full_disk BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION full_disk()",
        );
        self.open()
    }
}

conformance!(Postgres);

/// As behind a pool that knows no statements by their names.
mod without_names {
    use super::*;

    struct Nameless(Postgres);

    impl Engine for Nameless {
        fn fresh() -> Self {
            Self(Postgres::fresh())
        }

        fn open(&self) -> Arc<dyn Store> {
            let connections =
                Connections { statement_names: StatementNames::Never, ..Connections::default() };
            PostgresStore::open(&PostgresOptions {
                connections,
                ..PostgresOptions::new(self.0.0.url())
            })
            .unwrap()
        }

        fn open_nearly_full(&self) -> Arc<dyn Store> {
            drop(self.0.open_nearly_full());
            self.open()
        }
    }

    conformance!(Nameless);
}

mod distributed {
    use super::*;

    struct Distributed(Postgres);

    impl Engine for Distributed {
        fn fresh() -> Self {
            Self(Postgres(crate::events_at_hand::distributed()))
        }

        fn open(&self) -> Arc<dyn Store> {
            self.0.open()
        }

        fn open_nearly_full(&self) -> Arc<dyn Store> {
            self.0.open_nearly_full()
        }
    }

    conformance!(Distributed);
}
