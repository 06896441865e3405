-- Why: the small things that belong to the database itself: which migrations it has seen, and a key-value table for
-- counters and marks (high-water marks of numbers, versions of installed packs). Record tables are not made by
-- migrations: they follow the dictionary.

CREATE TABLE campanile_migration (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%S', 'now'))
);

CREATE TABLE campanile_meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
