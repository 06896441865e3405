-- Puts the rows of events of a Campanile database into native hash partitions, 16 of each table.
--
-- For a database in distributed mode, while no server works on it (docs/operations/scale-out.md). Rows that are there already
-- are written anew, which takes its time. Views that somebody else made over these tables are dropped.

BEGIN;

DO $$
DECLARE
    tables CONSTANT text[] := ARRAY['sysevent_live', 'sysevent_log', 'sysevent_run'];
    modulus CONSTANT int := 16;
    sysevent CONSTANT text := pg_get_viewdef('sysevent'::regclass);
    handler_run CONSTANT text := pg_get_viewdef('sysevent_handler_run'::regclass);
    name text;
BEGIN
    IF NOT EXISTS (SELECT FROM campanile_distribution) THEN
        RAISE EXCEPTION 'the database is not in distributed mode: make it with the setting postgres.partitions';
    END IF;
    FOREACH name IN ARRAY tables LOOP
        IF EXISTS (SELECT FROM pg_class WHERE oid = name::regclass AND relkind = 'p') THEN
            RAISE EXCEPTION '% is partitioned already', name;
        END IF;
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_whole');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH ("partition")', name, name || '_whole');
        FOR part IN 0 .. modulus - 1 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
                           name || '_' || part, name, modulus, part);
        END LOOP;
        EXECUTE format('INSERT INTO %I OVERRIDING SYSTEM VALUE SELECT * FROM %I', name, name || '_whole');
        -- With it go the views, which are made again, and functions of the other mode.
        EXECUTE format('DROP TABLE %I CASCADE', name || '_whole');
    END LOOP;
    PERFORM setval(pg_get_serial_sequence('sysevent_run', 'run'), max(run)) FROM sysevent_run HAVING count(*) > 0;
    EXECUTE 'CREATE VIEW sysevent AS ' || sysevent;
    EXECUTE 'CREATE VIEW sysevent_handler_run AS ' || handler_run;
    FOR part IN 0 .. modulus - 1 LOOP
        -- Every event dies in the live table: dead rows are taken away early, and by count, not by share.
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, '
                       'autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, '
                       'autovacuum_analyze_threshold = 10000)', 'sysevent_live_' || part);
    END LOOP;
END
$$;

COMMIT;
