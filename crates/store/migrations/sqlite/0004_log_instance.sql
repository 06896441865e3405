-- Why: "the events of this record" must not read the whole log. The instance is a random value: an index on the log
-- itself would dirty another page with every completion, so this one is filled behind, in sorted batches.

CREATE TABLE sysevent_log_instance (
    -- As it compares: folded.
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (instance, sequence)
) WITHOUT ROWID;

-- How far it is. Rows of the log below `low` are in it; `complete` says that all were when the store was closed;
-- `generation` counts rounds, so that a reader can tell which of them its snapshot has.
CREATE TABLE sysevent_log_indexing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    low INTEGER NOT NULL,
    complete INTEGER NOT NULL
);

INSERT INTO sysevent_log_indexing (id, generation, low, complete) VALUES (1, 0, 0, 0);
