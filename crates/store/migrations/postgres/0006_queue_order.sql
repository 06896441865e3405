-- Why: queues that keep an order. A sequential queue handles one event at a time in the whole cluster; a queue with order
-- by record does so for each record. Both need the order of arrival to be that of the commits, and claims that prove in
-- the database that nothing else of their turn is under way. Other queues pay nothing: their events have no turn.

-- Whether processors run in this program. Those of an older version say nothing, and count.
ALTER TABLE campanile_node ADD COLUMN serves BOOLEAN;

-- The queues that keep an order; others have no row.
CREATE TABLE sysevent_queue_order (
    queue TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('sequential', 'by_record')),
    -- An event that ends in error stops the queue.
    halts BOOLEAN NOT NULL,
    -- The event that stopped it, and when; NULL while it goes on.
    halted_event TEXT COLLATE "C",
    halted_at BIGINT,
    -- Differs because many programs append: when the event that arrived last was due. Whoever appends holds this row
    -- from here to the commit, which makes the order of commits that of sequences and due times.
    last_due BIGINT NOT NULL DEFAULT 0,
    -- For a while from here on, what was claimed by programs that did not know yet is looked for.
    set_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    CHECK ((halted_event IS NULL) = (halted_at IS NULL))
) WITH (fillfactor = 50);

-- Events with the same turn in one queue follow each other. NULL where no order is kept.
ALTER TABLE sysevent_live ADD COLUMN turn BIGINT;

CREATE INDEX sysevent_live_turn ON sysevent_live (queue, turn, process_on, sequence) WHERE turn IS NOT NULL;
-- What is being handled, or was begun and waits for its next attempt: those behind it wait for its end.
CREATE INDEX sysevent_live_begun ON sysevent_live (queue, turn)
    WHERE turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0);

-- The turn of an event: one for all in a sequential queue, one for each record (and for each event without one) where
-- records are kept in order. Two records that share a number by chance wait for each other, no more.
CREATE FUNCTION campanile_turn_of(a_kind text, a_table text, an_instance text, a_sys_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN a_kind = 'sequential' THEN 0
        WHEN an_instance IS NULL THEN hashtextextended(lower(a_sys_id), 1)
        ELSE hashtextextended(COALESCE(a_table, '') || ' ' || lower(an_instance), 0)
    END
$$;

-- The same by the queue's name; NULL where no order is kept.
CREATE FUNCTION campanile_turn(a_queue text, a_table text, an_instance text, a_sys_id text) RETURNS bigint
    LANGUAGE sql STABLE AS $$
    SELECT campanile_turn_of(kind, a_table, an_instance, a_sys_id) FROM sysevent_queue_order WHERE queue = a_queue
$$;

-- Lets events that this transaction has appended arrive in queues that keep an order: to be called last, in one message
-- with the commit, so that nobody waits for a program that stands still in between. Takes the rows of the queues in the
-- order of their names, and numbers the events anew while it has them. An event for now is due when it arrives: not
-- before those that arrived before it.
CREATE FUNCTION campanile_arrive(arrived bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    ordered record;
    newest bigint;
    present bigint;
BEGIN
    FOR ordered IN
        SELECT rule.queue, rule.kind, rule.last_due FROM sysevent_queue_order AS rule
        WHERE rule.queue IN (SELECT live.queue FROM sysevent_live AS live WHERE live.sequence = ANY (arrived))
        ORDER BY rule.queue FOR UPDATE
    LOOP
        present := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
        SELECT max(process_on) INTO newest FROM sysevent_live
            WHERE sequence = ANY (arrived) AND queue = ordered.queue AND NOT scheduled;
        -- One that lies ahead is from before the clock was set back.
        IF ordered.last_due <= present + 1000 THEN
            newest := greatest(newest, ordered.last_due);
        END IF;
        -- Read by the primary key, in its order.
        UPDATE sysevent_live
            SET sequence = nextval('sysevent_sequence'),
                process_on = CASE WHEN scheduled THEN process_on ELSE newest END,
                turn = campanile_turn_of(ordered.kind, "table", instance, sys_id)
            WHERE sequence = ANY (arrived) AND queue = ordered.queue;
        UPDATE sysevent_queue_order SET last_due = COALESCE(newest, last_due) WHERE queue = ordered.queue;
    END LOOP;
END
$$;

-- The first due events of a queue in its order, whatever they wait for.
CREATE FUNCTION campanile_first_due(a_queue text, a_now bigint, a_by_priority boolean, a_limit bigint) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    lane double precision;
    more bigint[];
    found_so_far bigint[] := '{}';
BEGIN
    SELECT derived_priority INTO lane FROM sysevent_live
        WHERE state = 'ready' AND queue = a_queue ORDER BY derived_priority LIMIT 1;
    IF NOT a_by_priority THEN
        RETURN ARRAY (
            WITH RECURSIVE lanes AS (
                SELECT lane AS p
                UNION ALL
                SELECT (SELECT derived_priority FROM sysevent_live
                        WHERE state = 'ready' AND queue = a_queue AND derived_priority > lanes.p
                        ORDER BY derived_priority LIMIT 1)
                FROM lanes WHERE lanes.p IS NOT NULL)
            SELECT first.sequence FROM lanes CROSS JOIN LATERAL (
                SELECT sequence, process_on FROM sysevent_live
                WHERE state = 'ready' AND queue = a_queue AND derived_priority = lanes.p AND process_on <= a_now
                ORDER BY process_on, sequence LIMIT a_limit) AS first
            ORDER BY first.process_on, first.sequence LIMIT a_limit);
    END IF;
    WHILE lane IS NOT NULL AND cardinality(found_so_far) < a_limit LOOP
        more := ARRAY (
            SELECT sequence FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority = lane AND process_on <= a_now
            ORDER BY process_on, sequence LIMIT a_limit - cardinality(found_so_far));
        found_so_far := found_so_far || more;
        SELECT derived_priority INTO lane FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority > lane
            ORDER BY derived_priority LIMIT 1;
    END LOOP;
    RETURN found_so_far;
END
$$;

-- The event whose turn it is: the one that is being handled, else the one that was begun, else the first.
CREATE FUNCTION campanile_head(a_queue text, a_turn bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    head bigint;
BEGIN
    SELECT sequence INTO head FROM sysevent_live
        WHERE queue = a_queue AND turn = a_turn AND (state = 'queued' OR attempts > 0 OR lapses > 0)
        ORDER BY state = 'queued' DESC, process_on, sequence LIMIT 1;
    IF head IS NULL THEN
        SELECT sequence INTO head FROM sysevent_live
            WHERE queue = a_queue AND turn = a_turn ORDER BY process_on, sequence LIMIT 1;
    END IF;
    RETURN head;
END
$$;

-- What is known by its sequence is asked for without the words of the claim index, which would be a bad way to it.

-- Those of `wanted` that can be had, up to the first that somebody else is about to change: what follows it must wait.
CREATE FUNCTION campanile_take_prefix(wanted bigint[], a_queue text, a_now bigint) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    had bigint[];
    got bigint[] := '{}';
    one bigint;
BEGIN
    had := ARRAY (
        SELECT sequence FROM sysevent_live
        WHERE sequence = ANY (wanted) AND state <> 'queued' AND queue = a_queue AND process_on <= a_now
        FOR UPDATE SKIP LOCKED);
    FOREACH one IN ARRAY wanted LOOP
        EXIT WHEN NOT one = ANY (had);
        got := got || one;
    END LOOP;
    RETURN got;
END
$$;

-- What a claim of a sequential queue gets: nothing while an event is being handled or waits for its next attempt.
CREATE FUNCTION campanile_pick_sequential(a_queue text, a_limit bigint, a_now bigint, a_by_priority boolean)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    begun record;
BEGIN
    SELECT sequence, state, process_on INTO begun FROM sysevent_live
        WHERE queue = a_queue AND turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0)
        ORDER BY state = 'queued' DESC, process_on, sequence LIMIT 1;
    IF NOT FOUND THEN
        RETURN campanile_take_prefix(
            campanile_first_due(a_queue, a_now, a_by_priority, a_limit), a_queue, a_now);
    ELSIF begun.state = 'queued' OR begun.process_on > a_now THEN
        RETURN '{}';
    END IF;
    RETURN campanile_take_prefix(ARRAY[begun.sequence], a_queue, a_now);
END
$$;

-- What a claim of a queue with order by record gets: the first event of each record that nobody handles, and, where
-- there are fewer such records than events wanted, some that follow it.
CREATE FUNCTION campanile_pick_by_record(a_queue text, a_limit bigint, a_now bigint, a_by_priority boolean)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    -- Looked at in the queue's order; behind so many that wait for their record, records are looked at instead.
    seen_max constant bigint := greatest(2 * a_limit, 200);
    records_max constant int := 1000;
    due bigint[];
    heads bigint[];
    head bigint;
    a_turn bigint;
    from_turn bigint;
    looked int := 0;
    follow bigint;
    got bigint[] := '{}';
BEGIN
    due := campanile_first_due(a_queue, a_now, a_by_priority, seen_max);
    -- Events from before the queue kept an order have no turn yet.
    UPDATE sysevent_live SET turn = campanile_turn(queue, "table", instance, sys_id)
        WHERE sequence = ANY (ARRAY (
            SELECT sequence FROM sysevent_live WHERE sequence = ANY (due) AND turn IS NULL AND state <> 'queued'
            FOR UPDATE SKIP LOCKED));
    heads := ARRAY (
        SELECT live.sequence FROM unnest(due) WITH ORDINALITY AS one (sequence, place)
        CROSS JOIN LATERAL (SELECT sequence, turn FROM sysevent_live WHERE sequence = one.sequence) AS live
        WHERE live.turn IS NOT NULL AND live.sequence = campanile_head(a_queue, live.turn)
        ORDER BY one.place LIMIT a_limit);
    IF cardinality(heads) = 0 AND cardinality(due) >= seen_max THEN
        -- All wait for records that are being handled. From a record by chance, so that each has its turn.
        from_turn := ((random() * 2 - 1) * 9e18)::bigint;
        FOR pass IN 1..2 LOOP
            a_turn := CASE pass WHEN 1 THEN from_turn ELSE -9223372036854775807 END;
            LOOP
                SELECT turn INTO a_turn FROM sysevent_live
                    WHERE queue = a_queue AND turn > a_turn ORDER BY turn LIMIT 1;
                looked := looked + 1;
                EXIT WHEN a_turn IS NULL OR looked > records_max OR cardinality(heads) >= a_limit
                    OR (pass = 2 AND a_turn > from_turn);
                head := campanile_head(a_queue, a_turn);
                IF EXISTS (
                    SELECT FROM sysevent_live WHERE sequence = head AND state <> 'queued' AND process_on <= a_now)
                THEN
                    heads := heads || head;
                END IF;
            END LOOP;
        END LOOP;
    END IF;
    IF cardinality(heads) = 0 THEN
        RETURN heads;
    END IF;
    follow := a_limit / cardinality(heads) - 1;
    FOREACH head IN ARRAY heads LOOP
        got := got || campanile_take_prefix(
            ARRAY[head] || ARRAY (
                SELECT later.sequence FROM sysevent_live AS first JOIN LATERAL (
                    SELECT sequence, state, process_on FROM sysevent_live
                    WHERE queue = a_queue AND turn = first.turn
                      AND (process_on, sequence) > (first.process_on, first.sequence)
                    ORDER BY process_on, sequence LIMIT follow) AS later ON true
                -- What was tried before is tried alone.
                WHERE first.sequence = head AND first.attempts = 0 AND first.lapses = 0
                ORDER BY later.process_on, later.sequence),
            a_queue, a_now);
    END LOOP;
    RETURN got;
END
$$;

-- As before, and nothing of queues that keep an order: an older program, or one that does not know of it yet, takes part
-- in no turn.
CREATE OR REPLACE FUNCTION campanile_claim(
    a_queue text, a_limit bigint, a_by text, a_token bigint, a_now bigint, a_by_priority boolean
) RETURNS SETOF sysevent_live
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    lane double precision;
    picked bigint[];
    have_lapsed boolean[];
    lapsed_at int;
    got bigint[] := '{}';
BEGIN
    IF NOT EXISTS (SELECT FROM campanile_node WHERE token = a_token AND gone_at IS NULL) THEN
        RAISE EXCEPTION 'the lease % has lapsed', a_token USING ERRCODE = 'CP001';
    END IF;
    IF EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue) THEN
        RETURN;
    END IF;
    SELECT derived_priority INTO lane FROM sysevent_live
        WHERE state = 'ready' AND queue = a_queue ORDER BY derived_priority LIMIT 1;
    WHILE lane IS NOT NULL AND cardinality(got) < a_limit LOOP
        IF a_by_priority THEN
            SELECT array_agg(sequence), array_agg(lapses > 0) INTO picked, have_lapsed FROM (
                SELECT sequence, lapses FROM sysevent_live
                WHERE state = 'ready' AND queue = a_queue AND derived_priority = lane AND process_on <= a_now
                ORDER BY process_on, sequence LIMIT a_limit - cardinality(got) FOR UPDATE SKIP LOCKED) AS due;
        ELSE
            -- All lanes at once: the first of each, in the order of arrival.
            SELECT array_agg(sequence), array_agg(lapses > 0) INTO picked, have_lapsed FROM (
                SELECT sequence, lapses FROM sysevent_live
                WHERE sequence = ANY (ARRAY (
                    WITH RECURSIVE lanes AS (
                        SELECT lane AS p
                        UNION ALL
                        SELECT (SELECT derived_priority FROM sysevent_live
                                WHERE state = 'ready' AND queue = a_queue AND derived_priority > lanes.p
                                ORDER BY derived_priority LIMIT 1)
                        FROM lanes WHERE lanes.p IS NOT NULL)
                    SELECT first.sequence FROM lanes CROSS JOIN LATERAL (
                        SELECT sequence, process_on FROM sysevent_live
                        WHERE state = 'ready' AND queue = a_queue AND derived_priority = lanes.p
                          AND process_on <= a_now
                        ORDER BY process_on, sequence LIMIT a_limit) AS first
                    ORDER BY first.process_on, first.sequence LIMIT a_limit))
                  AND state = 'ready' AND queue = a_queue AND process_on <= a_now
                ORDER BY process_on, sequence FOR UPDATE SKIP LOCKED) AS due;
        END IF;
        lapsed_at := array_position(have_lapsed, true);
        IF lapsed_at = 1 AND cardinality(got) = 0 THEN
            got := picked[1:1];
            EXIT;
        ELSIF lapsed_at IS NOT NULL THEN
            got := got || picked[1:lapsed_at - 1];
            EXIT;
        END IF;
        got := got || picked;
        EXIT WHEN NOT a_by_priority;
        SELECT derived_priority INTO lane FROM sysevent_live
            WHERE state = 'ready' AND queue = a_queue AND derived_priority > lane
            ORDER BY derived_priority LIMIT 1;
    END LOOP;
    -- An order that was set meanwhile.
    IF cardinality(got) > 0 AND NOT EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue) THEN
        RETURN QUERY UPDATE sysevent_live SET state = 'queued', claimed_by = a_by, claim_token = a_token
            WHERE sequence = ANY (got) RETURNING *;
    END IF;
END
$$;

-- Whether this transaction has the claims of the queue to itself now. Somebody who stands still may have them for long:
-- after a short wait the answer is no.
CREATE FUNCTION campanile_hold_claims(a_queue text) RETURNS boolean
    LANGUAGE plpgsql
    SET lock_timeout = '100ms' AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(1667329394, hashtext(a_queue)) THEN
        PERFORM pg_advisory_xact_lock(1667329394, hashtext(a_queue));
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- As campanile_claim, for queues that keep an order. Claims of one queue come one after another, so each sees what the
-- one before it took. A queue that is stopped, or is of another kind than the caller believes, gives nothing. One row of
-- NULLs when somebody else is claiming for long.
CREATE FUNCTION campanile_claim_in_turn(
    a_queue text, a_kind text, a_limit bigint, a_by text, a_token bigint, a_now bigint, a_by_priority boolean
) RETURNS SETOF sysevent_live
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    got bigint[];
    since timestamptz;
    claimed bigint[];
BEGIN
    IF NOT campanile_hold_claims(a_queue) THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM campanile_node WHERE token = a_token AND gone_at IS NULL) THEN
        RAISE EXCEPTION 'the lease % has lapsed', a_token USING ERRCODE = 'CP001';
    END IF;
    SELECT set_at INTO since FROM sysevent_queue_order
        WHERE queue = a_queue AND kind = a_kind AND halted_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF clock_timestamp() < since + interval '1 minute' THEN
        -- What was claimed while the order was being set keeps what comes behind it waiting, too.
        claimed := ARRAY (SELECT sequence FROM sysevent_live WHERE claim_token > 0);
        UPDATE sysevent_live SET turn = campanile_turn(queue, "table", instance, sys_id)
            WHERE sequence = ANY (ARRAY (
                SELECT sequence FROM sysevent_live
                WHERE sequence = ANY (claimed) AND queue = a_queue AND turn IS NULL AND state <> 'ready'
                FOR UPDATE SKIP LOCKED));
        IF EXISTS (
            SELECT FROM sysevent_live
            WHERE sequence = ANY (claimed) AND queue = a_queue AND turn IS NULL AND state <> 'ready')
        THEN
            RETURN;
        END IF;
    END IF;
    IF a_kind = 'sequential' THEN
        got := campanile_pick_sequential(a_queue, a_limit, a_now, a_by_priority);
    ELSE
        got := campanile_pick_by_record(a_queue, a_limit, a_now, a_by_priority);
    END IF;
    -- An event that ended in error after the look above is not among what was picked, and has stopped the queue.
    IF NOT EXISTS (
        SELECT FROM sysevent_queue_order WHERE queue = a_queue AND kind = a_kind AND halted_at IS NULL)
    THEN
        RETURN;
    END IF;
    IF cardinality(got) > 0 THEN
        RETURN QUERY UPDATE sysevent_live SET state = 'queued', claimed_by = a_by, claim_token = a_token,
            turn = COALESCE(turn, campanile_turn(queue, "table", instance, sys_id))
            WHERE sequence = ANY (got) RETURNING *;
    END IF;
END
$$;

-- When something of a queue that keeps an order is or was due, and when the next one that was begun is to be tried
-- again; NULL when nothing is.
CREATE FUNCTION campanile_next_in_turn(a_queue text, a_now bigint, OUT due bigint, OUT retry bigint)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM sysevent_queue_order WHERE queue = a_queue AND halted_at IS NOT NULL) THEN
        RETURN;
    END IF;
    due := campanile_next_due(a_queue);
    SELECT min(process_on) INTO retry FROM sysevent_live
        WHERE queue = a_queue AND turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0)
          AND state = 'ready' AND process_on > a_now;
END
$$;
