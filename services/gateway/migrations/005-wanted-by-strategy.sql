-- What of the orders that a runner wanted is each strategy's, by strategy; empty for a runner of one strategy.
alter table {{schema}}.wanted_orders add column wanted_by jsonb not null default '{}';
