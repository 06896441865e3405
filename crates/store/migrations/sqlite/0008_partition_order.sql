-- Why: queues that keep an order, in distributed mode too. Differs because a data folder is not spread: its writer keeps the
-- order already (0006), and there is nothing to do here.

SELECT 1;
