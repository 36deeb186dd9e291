-- What of the orders that a runner wanted is each strategy's, by strategy; empty for a runner of one strategy.
ALTER TABLE gateway.wanted_orders ADD COLUMN wanted_by jsonb NOT NULL DEFAULT '{}';
