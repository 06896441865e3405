//! The migrations, in order. One that has landed never changes; a new one goes to the end.

/// One migration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// From 1, without gaps.
    pub(crate) number: i64,
    /// As in the file's name.
    pub(crate) name: &'static str,
    /// What programs do that were made before it.
    pub(crate) older_programs: OlderPrograms,
    /// Statements; the first comment says why.
    pub(crate) sql: &'static str,
}

/// What a migration means to programs that do not know it. Noted in the database with the migration, where they read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OlderPrograms {
    /// It only adds what they neither read nor have to write: they go on, beside newer ones.
    GoOn,
    /// It changes or takes away what they use: they are refused, and it is not run while one of them works.
    Stop,
}

/// SQLite's.
pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        number: 1,
        name: "base",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/sqlite/0001_base.sql"),
    },
    Migration {
        number: 2,
        name: "events",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/sqlite/0002_events.sql"),
    },
    Migration {
        number: 3,
        name: "kept_answers",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/sqlite/0003_kept_answers.sql"),
    },
    Migration {
        number: 4,
        name: "log_instance",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/sqlite/0004_log_instance.sql"),
    },
    Migration {
        number: 5,
        name: "distributed",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0005_distributed.sql"),
    },
    Migration {
        number: 6,
        name: "queue_order",
        // Until a queue keeps an order: they would claim from it as from any other.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0006_queue_order.sql"),
    },
    Migration {
        number: 7,
        name: "turn_heads",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0007_turn_heads.sql"),
    },
    Migration {
        number: 8,
        name: "partition_order",
        // Until a queue keeps an order in distributed mode: they would claim from it as from any other.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0008_partition_order.sql"),
    },
    Migration {
        number: 9,
        name: "admit_older",
        // One that comes back under a new lease is refused where a queue keeps an order that it does not know.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0009_admit_older.sql"),
    },
    Migration {
        number: 10,
        name: "floors",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0010_floors.sql"),
    },
    Migration {
        number: 11,
        name: "dues_of_lanes",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/sqlite/0011_dues_of_lanes.sql"),
    },
];

/// PostgreSQL's.
pub(crate) const POSTGRES: &[Migration] = &[
    Migration {
        number: 1,
        name: "base",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/postgres/0001_base.sql"),
    },
    Migration {
        number: 2,
        name: "events",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/postgres/0002_events.sql"),
    },
    Migration {
        number: 3,
        name: "kept_answers",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/postgres/0003_kept_answers.sql"),
    },
    Migration {
        number: 4,
        name: "log_instance",
        older_programs: OlderPrograms::Stop,
        sql: include_str!("../../migrations/postgres/0004_log_instance.sql"),
    },
    Migration {
        number: 5,
        name: "distributed",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0005_distributed.sql"),
    },
    Migration {
        number: 6,
        name: "queue_order",
        // Until a queue keeps an order: they would claim from it as from any other.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0006_queue_order.sql"),
    },
    Migration {
        number: 7,
        name: "turn_heads",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0007_turn_heads.sql"),
    },
    Migration {
        number: 8,
        name: "partition_order",
        // Until a queue keeps an order in distributed mode: they would claim from it as from any other.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0008_partition_order.sql"),
    },
    Migration {
        number: 9,
        name: "admit_older",
        // One that comes back under a new lease is refused where a queue keeps an order that it does not know.
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0009_admit_older.sql"),
    },
    Migration {
        number: 10,
        name: "floors",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0010_floors.sql"),
    },
    Migration {
        number: 11,
        name: "dues_of_lanes",
        older_programs: OlderPrograms::GoOn,
        sql: include_str!("../../migrations/postgres/0011_dues_of_lanes.sql"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_say_why() {
        for (i, migration) in SQLITE.iter().enumerate().chain(POSTGRES.iter().enumerate()) {
            assert_eq!(usize::try_from(migration.number), Ok(i + 1), "{}", migration.name);
            assert!(migration.sql.starts_with("-- Why: "), "{}", migration.name);
        }
    }

    #[test]
    fn both_engines_have_the_same_migrations() {
        let names =
            |list: &[Migration]| list.iter().map(|m| (m.number, m.name)).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
    }

    #[test]
    fn postgres_folds_as_everything_else_does() {
        let (from, to): (String, String) = ('\u{80}'..=char::MAX)
            .map(|c| (c, campanile_model::fold::fold_char(c)))
            .filter(|(c, folded)| c != folded)
            .unzip();
        assert!(POSTGRES[0].sql.contains(&format!("'{from}',\n        '{to}'")));
    }
}
