-- Why: on PostgreSQL, a program that knows no order must not register while a queue is given one. Differs because a data
-- folder has one program: there is nothing to do.

SELECT 1;
