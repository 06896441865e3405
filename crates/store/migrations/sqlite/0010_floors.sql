-- Why: on PostgreSQL, claims walked past what was claimed before them and not vacuumed yet. Differs because here what waits
-- stands in memory (`sqlite/claims`): there is nothing to do.

SELECT 1;
