-- Why: a claim of a queue with order by record asked for the first event of a record once for each of the events that it saw
-- of it, and read all that was claimed of the record each time: behind 100,000 events of one record a claim that found
-- nothing took 16 ms. Each record is asked for once now, and of what is claimed one row is read: 1.3 ms.

-- What was begun and waits for its next attempt, by its time. Of events that go well nothing is in it.
CREATE INDEX sysevent_live_retry ON sysevent_live (queue, process_on)
    WHERE turn IS NOT NULL AND state = 'ready' AND (attempts > 0 OR lapses > 0);

-- The event that can be handled next of a turn: the one that was begun, else the first; none while one is being handled.
-- Written into the query that calls it, which then calls no function for each record. campanile_head, which it replaces, is
-- left for claims that are under way.
CREATE FUNCTION campanile_free_head(a_queue text, a_turn bigint) RETURNS TABLE (sequence bigint)
    LANGUAGE sql STABLE AS $$
    SELECT COALESCE(
        (SELECT begun.sequence FROM sysevent_live AS begun
         WHERE begun.queue = a_queue AND begun.turn = a_turn
           AND (begun.state = 'queued' OR begun.attempts > 0 OR begun.lapses > 0)
         ORDER BY begun.process_on, begun.sequence LIMIT 1),
        (SELECT first.sequence FROM sysevent_live AS first
         WHERE first.queue = a_queue AND first.turn = a_turn
         ORDER BY first.process_on, first.sequence LIMIT 1))
    -- Not as NOT EXISTS, which may be planned as a read of all that is being handled in the queue.
    WHERE (SELECT true FROM sysevent_live AS held
           WHERE held.queue = a_queue AND held.turn = a_turn AND held.state = 'queued' LIMIT 1) IS NULL
$$;

-- As before; asks first whether anything is being handled, which one row tells.
CREATE OR REPLACE FUNCTION campanile_pick_sequential(a_queue text, a_limit bigint, a_now bigint, a_by_priority boolean)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    begun record;
BEGIN
    PERFORM FROM sysevent_live WHERE queue = a_queue AND turn IS NOT NULL AND state = 'queued' LIMIT 1;
    IF FOUND THEN
        RETURN '{}';
    END IF;
    SELECT sequence, process_on INTO begun FROM sysevent_live
        WHERE queue = a_queue AND turn IS NOT NULL AND state = 'ready' AND (attempts > 0 OR lapses > 0)
        ORDER BY process_on, sequence LIMIT 1;
    IF NOT FOUND THEN
        RETURN campanile_take_prefix(
            campanile_first_due(a_queue, a_now, a_by_priority, a_limit), a_queue, a_now);
    ELSIF begun.process_on > a_now THEN
        RETURN '{}';
    END IF;
    RETURN campanile_take_prefix(ARRAY[begun.sequence], a_queue, a_now);
END
$$;

-- These first events of records and, where there are fewer of them than events wanted, some that follow each; of every
-- record those up to the first that somebody else is about to change.
CREATE FUNCTION campanile_take_with_followers(heads bigint[], a_queue text, a_limit bigint, a_now bigint)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    follow constant bigint := a_limit / cardinality(heads) - 1;
    wanted bigint[];
    records bigint[];
    had bigint[];
BEGIN
    IF follow <= 0 THEN
        RETURN ARRAY (
            SELECT sequence FROM sysevent_live
            WHERE sequence = ANY (heads) AND state <> 'queued' AND queue = a_queue AND process_on <= a_now
            FOR UPDATE SKIP LOCKED);
    END IF;
    SELECT array_agg(one.sequence ORDER BY one.place, one.process_on, one.sequence),
           array_agg(one.place ORDER BY one.place, one.process_on, one.sequence)
        INTO wanted, records
        FROM unnest(heads) WITH ORDINALITY AS head (sequence, place)
        CROSS JOIN LATERAL (
            SELECT turn, process_on, attempts, lapses FROM sysevent_live WHERE sequence = head.sequence) AS first
        CROSS JOIN LATERAL (
            SELECT head.place, first.process_on, head.sequence
            UNION ALL
            -- What was tried before is tried alone.
            (SELECT head.place, later.process_on, later.sequence FROM sysevent_live AS later
             WHERE first.attempts = 0 AND first.lapses = 0 AND later.queue = a_queue AND later.turn = first.turn
               AND (later.process_on, later.sequence) > (first.process_on, head.sequence)
             ORDER BY later.process_on, later.sequence LIMIT follow)) AS one;
    had := ARRAY (
        SELECT sequence FROM sysevent_live
        WHERE sequence = ANY (wanted) AND state <> 'queued' AND queue = a_queue AND process_on <= a_now
        FOR UPDATE SKIP LOCKED);
    RETURN ARRAY (
        SELECT one.sequence FROM (
            SELECT each.sequence,
                   bool_and(each.sequence = ANY (had)) OVER (PARTITION BY each.record ORDER BY each.place) AS is_had
            FROM unnest(wanted, records) WITH ORDINALITY AS each (sequence, record, place)) AS one
        WHERE one.is_had);
END
$$;

-- As before: the first event of each record that nobody handles, and, where there are fewer such records than events
-- wanted, some that follow it.
CREATE OR REPLACE FUNCTION campanile_pick_by_record(a_queue text, a_limit bigint, a_now bigint, a_by_priority boolean)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    -- Looked at in the queue's order; behind so many that wait for their record, records are looked at instead.
    seen_max constant bigint := greatest(2 * a_limit, 200);
    records_max constant int := 1000;
    due bigint[];
    heads bigint[];
    from_turn bigint;
BEGIN
    due := campanile_first_due(a_queue, a_now, a_by_priority, seen_max);
    -- Events from before the queue kept an order have no turn yet.
    UPDATE sysevent_live SET turn = campanile_turn(queue, "table", instance, sys_id)
        WHERE sequence = ANY (ARRAY (
            SELECT sequence FROM sysevent_live WHERE sequence = ANY (due) AND turn IS NULL AND state <> 'queued'
            FOR UPDATE SKIP LOCKED));
    heads := ARRAY (
        WITH seen AS MATERIALIZED (
            SELECT live.sequence, live.turn, one.place FROM unnest(due) WITH ORDINALITY AS one (sequence, place)
            CROSS JOIN LATERAL (SELECT sequence, turn FROM sysevent_live WHERE sequence = one.sequence) AS live
            WHERE live.turn IS NOT NULL),
        head AS MATERIALIZED (
            SELECT free.sequence FROM (SELECT DISTINCT turn FROM seen) AS record
            CROSS JOIN LATERAL campanile_free_head(a_queue, record.turn) AS free)
        SELECT sequence FROM seen WHERE sequence IN (SELECT sequence FROM head) ORDER BY place LIMIT a_limit);
    IF cardinality(heads) = 0 AND cardinality(due) >= seen_max THEN
        -- All wait for records that are being handled. From a record by chance on, and round to it, so that each has its turn.
        from_turn := ((random() * 2 - 1) * 9e18)::bigint;
        heads := ARRAY (
            WITH RECURSIVE record AS (
                SELECT from_turn AS turn, false AS is_round, 0 AS looked
                UNION ALL
                SELECT next.turn, next.is_round, record.looked + 1
                FROM record CROSS JOIN LATERAL (
                    (SELECT live.turn, record.is_round FROM sysevent_live AS live
                     WHERE live.queue = a_queue AND live.turn > record.turn ORDER BY live.turn LIMIT 1)
                    UNION ALL
                    (SELECT live.turn, true FROM sysevent_live AS live
                     WHERE NOT record.is_round AND live.queue = a_queue AND live.turn IS NOT NULL
                     ORDER BY live.turn LIMIT 1)
                    LIMIT 1) AS next
                WHERE record.looked < records_max AND NOT (next.is_round AND next.turn > from_turn))
            -- No further than to the last that is wanted.
            SELECT that_is_due.sequence FROM record
            CROSS JOIN LATERAL campanile_free_head(a_queue, record.turn) AS free
            CROSS JOIN LATERAL (
                SELECT live.sequence FROM sysevent_live AS live
                WHERE live.sequence = free.sequence AND live.process_on <= a_now LIMIT 1) AS that_is_due
            WHERE record.looked > 0
            LIMIT a_limit);
    END IF;
    IF cardinality(heads) = 0 THEN
        RETURN heads;
    END IF;
    RETURN campanile_take_with_followers(heads, a_queue, a_limit, a_now);
END
$$;

-- As before; finds the next attempt by its index.
CREATE OR REPLACE FUNCTION campanile_next_in_turn(a_queue text, a_now bigint, OUT due bigint, OUT retry bigint)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue AND halted_at IS NOT NULL) THEN
        RETURN;
    END IF;
    due := campanile_next_due(a_queue);
    SELECT process_on INTO retry FROM sysevent_live
        WHERE queue = a_queue AND turn IS NOT NULL AND state = 'ready' AND (attempts > 0 OR lapses > 0)
          AND process_on > a_now
        ORDER BY process_on LIMIT 1;
END
$$;
