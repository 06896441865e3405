-- Why: a POST of the Table API may carry an idempotency key too. Its answer is kept with the key, in the commit of the
-- row that it wrote, so that a repetition gets the same bytes. Keys of events have no answer: the event is theirs.

ALTER TABLE sysevent_dedupe ADD COLUMN answer TEXT COLLATE "C";
