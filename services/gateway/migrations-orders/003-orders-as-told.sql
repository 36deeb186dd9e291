-- What an order is told with besides its state: its prices, when it changed last, and the journal entry of that change.
ALTER TABLE gateway.client_order
  ADD COLUMN limit_price double precision,
  ADD COLUMN stop_price double precision,
  ADD COLUMN update_time_ms bigint NOT NULL DEFAULT 0,
  ADD COLUMN entry bigint NOT NULL DEFAULT 0;

-- A halt has an id, and says who set it.
ALTER TABLE gateway.halt
  ADD COLUMN halt_id text NOT NULL,
  ADD COLUMN principal text NOT NULL,
  ADD CONSTRAINT halt_id_is_unique UNIQUE (halt_id);
