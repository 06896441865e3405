-- Why: a claim goes past what somebody else holds, and a floor behind it would hide that once it is let go. So a claim learns
-- of each lane when its first event is due that is left, held or not, and puts no floor above it.

-- When the first waiting event of each lane is or was due, from the floors on. campanile_next_due_from, which it replaces, is
-- left for claims that are under way.
CREATE FUNCTION campanile_dues_from(a_queue text, lanes double precision[], floors bigint[])
    RETURNS TABLE (lane double precision, due bigint)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at record;
BEGIN
    at := campanile_next_lane(a_queue, '-Infinity', lanes, floors);
    WHILE at.lane IS NOT NULL LOOP
        SELECT process_on INTO due FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority = at.lane AND process_on >= at.from_due
            ORDER BY process_on LIMIT 1;
        IF FOUND THEN
            lane := at.lane;
            RETURN NEXT;
        END IF;
        at := campanile_next_lane(a_queue, at.lane, lanes, floors);
    END LOOP;
END
$$;
