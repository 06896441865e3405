-- Why: queues that keep an order. A sequential queue handles one event at a time; a queue with order by record does so
-- for each record. Differs because one program has the database: whose turn it is stands in memory, and the one writer
-- makes the order of arrival that of the commits.

-- The queues that keep an order; others have no row.
CREATE TABLE sysevent_queue_order (
    queue TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind = 'sequential' OR kind = 'by_record'),
    -- An event that ends in error stops the queue.
    halts INTEGER NOT NULL,
    -- The event that stopped it, and when; NULL while it goes on.
    halted_event TEXT COLLATE NOCASE,
    halted_at INTEGER,
    CHECK ((halted_event IS NULL) = (halted_at IS NULL))
) WITHOUT ROWID;

-- What was begun and waits for its next attempt: those behind it wait for its end.
CREATE INDEX sysevent_live_begun ON sysevent_live (queue) WHERE attempts > 0 OR lapses > 0;
