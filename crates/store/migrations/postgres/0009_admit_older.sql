-- Why: a program looks at the schema first and registers later. An order of a queue that was set in between would not have
-- seen one of a version that knows nothing of it, and that would claim from the queue as from any other.

-- Refuses it when there is an order. One that is being set is waited for: whoever sets it holds the lock alone until the
-- commit, and has seen all who came before.
CREATE FUNCTION campanile_admit_older() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Programs say what they know since migration 8, and whether they serve since 6.
    known constant bigint := COALESCE(NEW.knows, CASE WHEN NEW.serves IS NULL THEN 5 ELSE 7 END);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1667329392, 4);
    IF EXISTS (SELECT FROM sysevent_queue_order)
        AND (known < 6 OR known < 8 AND EXISTS (SELECT FROM campanile_distribution))
    THEN
        -- By this code programs tell that the database is not to be had now.
        RAISE EXCEPTION 'queues keep an order here, of which this version of campanile knows nothing: use the newer version'
            USING ERRCODE = '57P03';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER campanile_node_admit_older BEFORE INSERT ON campanile_node
    FOR EACH ROW WHEN (NEW.knows IS NULL) EXECUTE FUNCTION campanile_admit_older();
