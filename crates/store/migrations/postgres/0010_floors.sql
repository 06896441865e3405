-- Why: in the index that claims go by, what was claimed stays until a vacuum, and with an old snapshot for longer. A claim
-- walked past all of it five times: a backlog of 200,000 made claims three times as dear on its way, an open snapshot
-- without end. Who claims remembers now from when on a lane may have something, and begins there; now and then it begins
-- at the beginning.

-- Where the next lane after `a_lane` begins: one of `lanes`, which rise, from its floor on; or one that is not among them,
-- from its beginning. NULL when there is none. Planned with the settings of the functions below, which call it.
CREATE FUNCTION campanile_next_lane(
    a_queue text, a_lane double precision, lanes double precision[], floors bigint[],
    OUT lane double precision, OUT from_due bigint
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    known double precision;
    known_from bigint;
BEGIN
    SELECT one.lane, one.from_due INTO known, known_from FROM unnest(lanes, floors) AS one (lane, from_due)
        WHERE one.lane > a_lane LIMIT 1;
    SELECT derived_priority INTO lane FROM sysevent_live
        WHERE state = 'ready' AND queue = a_queue
          AND derived_priority > a_lane AND derived_priority < COALESCE(known, 'Infinity')
        ORDER BY derived_priority LIMIT 1;
    IF FOUND THEN
        from_due := -9223372036854775808;
    ELSE
        lane := known;
        from_due := known_from;
    END IF;
END
$$;

-- As campanile_claim, which stays for programs of older versions. What is due before the `floors` of `lanes`, which rise,
-- is not looked at.
CREATE FUNCTION campanile_claim_from(
    a_queue text, a_limit bigint, a_by text, a_token bigint, a_now bigint, a_by_priority boolean,
    lanes double precision[], floors bigint[]
) RETURNS SETOF sysevent_live
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at record;
    picked bigint[];
    have_lapsed boolean[];
    lapsed_at int;
    dues bigint[];
    all_dues bigint[] := '{}';
    candidates bigint[] := '{}';
    got bigint[] := '{}';
BEGIN
    IF NOT EXISTS (SELECT FROM campanile_node WHERE token = a_token AND gone_at IS NULL) THEN
        RAISE EXCEPTION 'the lease % has lapsed', a_token USING ERRCODE = 'CP001';
    END IF;
    IF EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue) THEN
        RETURN;
    END IF;
    at := campanile_next_lane(a_queue, '-Infinity', lanes, floors);
    WHILE at.lane IS NOT NULL LOOP
        IF a_by_priority THEN
            SELECT array_agg(sequence), array_agg(lapses > 0) INTO picked, have_lapsed FROM (
                SELECT sequence, lapses FROM sysevent_live
                WHERE state = 'ready' AND queue = a_queue AND derived_priority = at.lane
                  AND process_on >= at.from_due AND process_on <= a_now
                ORDER BY process_on, sequence LIMIT a_limit - cardinality(got) FOR UPDATE SKIP LOCKED) AS due;
            lapsed_at := array_position(have_lapsed, true);
            IF lapsed_at = 1 AND cardinality(got) = 0 THEN
                got := picked[1:1];
                EXIT;
            ELSIF lapsed_at IS NOT NULL THEN
                got := got || picked[1:lapsed_at - 1];
                EXIT;
            END IF;
            got := got || picked;
            EXIT WHEN cardinality(got) >= a_limit;
        ELSE
            SELECT array_agg(sequence), array_agg(process_on) INTO picked, dues FROM (
                SELECT sequence, process_on FROM sysevent_live
                WHERE state = 'ready' AND queue = a_queue AND derived_priority = at.lane
                  AND process_on >= at.from_due AND process_on <= a_now
                ORDER BY process_on, sequence LIMIT a_limit) AS due;
            candidates := candidates || picked;
            all_dues := all_dues || dues;
        END IF;
        at := campanile_next_lane(a_queue, at.lane, lanes, floors);
    END LOOP;
    IF cardinality(candidates) > 0 THEN
        -- The first of all lanes at once, in the order of arrival.
        SELECT array_agg(sequence), array_agg(lapses > 0) INTO got, have_lapsed FROM (
            SELECT sequence, lapses FROM sysevent_live
            WHERE sequence = ANY (ARRAY (
                SELECT one.sequence FROM unnest(candidates, all_dues) AS one (sequence, due)
                ORDER BY one.due, one.sequence LIMIT a_limit))
              AND state <> 'queued' AND queue = a_queue AND process_on <= a_now
            ORDER BY process_on, sequence FOR UPDATE SKIP LOCKED) AS due;
        lapsed_at := array_position(have_lapsed, true);
        IF lapsed_at IS NOT NULL THEN
            got := got[1:greatest(lapsed_at - 1, 1)];
        END IF;
    END IF;
    -- An order that was set meanwhile.
    IF cardinality(got) > 0 AND NOT EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue) THEN
        RETURN QUERY UPDATE sysevent_live SET state = 'queued', claimed_by = a_by, claim_token = a_token
            WHERE sequence = ANY (got) RETURNING *;
    END IF;
END
$$;

-- As campanile_next_due, from the floors on; of what is due at `a_now` any.
CREATE FUNCTION campanile_next_due_from(
    a_queue text, a_now bigint, lanes double precision[], floors bigint[]
) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at record;
    first bigint;
    earliest bigint;
BEGIN
    at := campanile_next_lane(a_queue, '-Infinity', lanes, floors);
    WHILE at.lane IS NOT NULL AND (earliest IS NULL OR earliest > a_now) LOOP
        SELECT process_on INTO first FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority = at.lane AND process_on >= at.from_due
            ORDER BY process_on LIMIT 1;
        earliest := least(earliest, first);
        at := campanile_next_lane(a_queue, at.lane, lanes, floors);
    END LOOP;
    RETURN earliest;
END
$$;
