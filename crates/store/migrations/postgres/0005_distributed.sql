-- Why: distributed mode (docs/operations/scale-out.md). The rows of events are spread by their partition, over a distributed
-- PostgreSQL or native hash partitions. Here is what every database has of it: a table that says how many partitions there
-- are, empty while the mode is off, and a function that switches it on.

CREATE TABLE campanile_distribution (
    -- One row at most.
    id SMALLINT PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    partitions BIGINT NOT NULL CHECK (partitions BETWEEN 2 AND 256)
);

-- Gives the tables the keys and indexes of the mode: each unique one holds the partition, and what a claim reads begins with
-- it. To be called while they have no rows: what is there already has other partitions.
CREATE FUNCTION campanile_distribute(a_partitions bigint) RETURNS void LANGUAGE plpgsql AS $$
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

-- Refuses a program whose lease has lapsed, as campanile_claim does.
CREATE FUNCTION campanile_expect_lease(a_token bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM campanile_node WHERE token = a_token AND gone_at IS NULL) THEN
        RAISE EXCEPTION 'the lease % has lapsed', a_token USING ERRCODE = 'CP001';
    END IF;
END
$$;
