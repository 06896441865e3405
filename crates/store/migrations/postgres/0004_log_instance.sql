-- Why: "the events of this record" must not read the whole log. Differs because the index stands on the log itself and
-- is kept with each completion: filled behind, as on SQLite, it would need one program of many to fill it. The price was
-- measured: up to 5 kB more of write-ahead log for an event in a log of millions.

CREATE INDEX sysevent_log_instance ON sysevent_log (lower(instance)) WHERE instance IS NOT NULL;
