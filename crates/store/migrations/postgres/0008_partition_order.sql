-- Why: queues that keep an order, in distributed mode too (docs/operations/scale-out.md). Whose turn it is is asked of one
-- partition there, so the indexes of turns begin with it; and a program says what it knows, because one that knows no order
-- in partitions must not claim beside one that keeps it.

-- Number of the newest migration that a program knows. Those of an older version say nothing.
ALTER TABLE campanile_node ADD COLUMN knows BIGINT;

-- Lets the indexes of turns begin with the partition. They are found by what they are for: in native hash partitions they
-- have other names.
CREATE FUNCTION campanile_index_turns() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT indexrelid::regclass::text FROM pg_index
        WHERE indrelid = 'sysevent_live'::regclass AND pg_get_expr(indpred, indrelid) LIKE '%turn IS NOT NULL%'
    LOOP
        EXECUTE 'DROP INDEX ' || name;
    END LOOP;
    CREATE INDEX sysevent_live_turn ON sysevent_live ("partition", queue, turn, process_on, sequence)
        WHERE turn IS NOT NULL;
    CREATE INDEX sysevent_live_begun ON sysevent_live ("partition", queue, turn)
        WHERE turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0);
    CREATE INDEX sysevent_live_retry ON sysevent_live ("partition", queue, process_on)
        WHERE turn IS NOT NULL AND state = 'ready' AND (attempts > 0 OR lapses > 0);
END
$$;

-- As before, with those indexes too. Gives the tables the keys and indexes of the mode: each unique one holds the partition,
-- and what a claim reads begins with it. To be called while they have no rows: what is there already has other partitions.
CREATE OR REPLACE FUNCTION campanile_distribute(a_partitions bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campanile_distribution (partitions) VALUES (a_partitions);
    -- Programs that do not know the mode cannot work by it.
    UPDATE campanile_migration SET stops_older = true WHERE name = 'distributed';

    ALTER TABLE sysevent_live DROP CONSTRAINT sysevent_live_pkey;
    ALTER TABLE sysevent_live ADD PRIMARY KEY (sequence, "partition");
    DROP INDEX sysevent_live_key;
    CREATE UNIQUE INDEX sysevent_live_key ON sysevent_live (lower(sys_id), "partition");
    DROP INDEX sysevent_live_claim;
    CREATE INDEX sysevent_live_claim ON sysevent_live ("partition", queue, derived_priority, process_on, sequence)
        WHERE state = 'ready';

    PERFORM campanile_index_turns();

    ALTER TABLE sysevent_log DROP CONSTRAINT sysevent_log_pkey;
    ALTER TABLE sysevent_log ADD PRIMARY KEY (sequence, "partition");
    DROP INDEX sysevent_log_key;
    CREATE UNIQUE INDEX sysevent_log_key ON sysevent_log (lower(sys_id), "partition");

    -- A run stands where its event stands.
    ALTER TABLE sysevent_run ADD COLUMN "partition" BIGINT NOT NULL;
    ALTER TABLE sysevent_run DROP CONSTRAINT sysevent_run_pkey;
    ALTER TABLE sysevent_run ADD PRIMARY KEY (run, "partition");
    DROP INDEX sysevent_run_key;
    CREATE UNIQUE INDEX sysevent_run_key ON sysevent_run (lower(sys_id), "partition");
END
$$;

-- A database that is in the mode already.
DO $$
BEGIN
    IF EXISTS (SELECT FROM campanile_distribution) THEN
        PERFORM campanile_index_turns();
    END IF;
END
$$;
