-- Why: on PostgreSQL, a claim must not forget what it went past because somebody held it. Differs because here what waits
-- stands in memory (`sqlite/claims`): there is nothing to do.

SELECT 1;
