-- What an order is told with besides its state: its prices, when it changed last, and the journal entry of that change.
ALTER TABLE gateway.client_order
  ADD COLUMN limit_price double precision,
  ADD COLUMN stop_price double precision,
  ADD COLUMN update_time_ms bigint NOT NULL DEFAULT 0,
  ADD COLUMN entry bigint NOT NULL DEFAULT 0;

UPDATE gateway.client_order SET update_time_ms = create_time_ms;

-- A halt has an id, and says who set it. One of everything that names something halted everything all the same.
INSERT INTO gateway.halt (scope, target, reason, time_ms)
  SELECT 'all', '', reason, time_ms FROM gateway.halt WHERE scope = 'all' AND target <> '' ORDER BY time_ms LIMIT 1
  ON CONFLICT DO NOTHING;
DELETE FROM gateway.halt WHERE scope = 'all' AND target <> '';
ALTER TABLE gateway.halt
  ADD COLUMN halt_id text,
  ADD COLUMN principal text NOT NULL DEFAULT '';
UPDATE gateway.halt SET halt_id = 'h-' || gen_random_uuid();
ALTER TABLE gateway.halt
  ALTER COLUMN halt_id SET NOT NULL,
  ALTER COLUMN principal DROP DEFAULT,
  ADD CONSTRAINT halt_id_is_unique UNIQUE (halt_id);
