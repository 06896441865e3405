-- Why: distributed mode (docs/operations/scale-out.md) spreads the rows of events over a distributed PostgreSQL. Differs
-- because a data folder is one file on one machine: there is nothing to spread, and nothing to do here.

SELECT 1;
