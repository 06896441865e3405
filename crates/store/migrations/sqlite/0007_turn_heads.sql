-- Why: on PostgreSQL, claims of queues with order by record looked at a record once for each of its events. Differs because
-- here whose turn it is stands in memory (`sqlite/turns`): there is nothing to do.

SELECT 1;
