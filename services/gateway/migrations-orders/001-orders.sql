-- The order journal and what is derived from it. Times are epoch milliseconds; quantities are whole lots.

-- Append-only: the source of truth of an account. Replaying it rebuilds the router.
CREATE TABLE gateway.journal (
  account_id text NOT NULL,
  entry bigint NOT NULL,
  kind text NOT NULL,
  world_id text NOT NULL,
  strategy_id text NOT NULL,
  source_row bigint NOT NULL,
  body text NOT NULL,
  time_ms bigint NOT NULL,
  PRIMARY KEY (account_id, entry)
);

-- Every order with its state now; written in the transaction of the journal.
CREATE TABLE gateway.client_order (
  client_order_id text PRIMARY KEY,
  position bigint GENERATED ALWAYS AS IDENTITY,
  account_id text NOT NULL,
  world_id text NOT NULL,
  strategy_id text NOT NULL,
  instrument text NOT NULL,
  lots bigint NOT NULL,
  filled_lots bigint NOT NULL DEFAULT 0,
  filled_value double precision NOT NULL DEFAULT 0,
  state text NOT NULL,
  origin text NOT NULL,
  reduce_only boolean NOT NULL,
  side text NOT NULL,
  opening boolean NOT NULL,
  source_row bigint NOT NULL,
  bucket_end_ms bigint NOT NULL,
  fence bigint NOT NULL,
  decision_id text NOT NULL,
  session_id text NOT NULL,
  domain text NOT NULL,
  reason text NOT NULL DEFAULT '',
  create_time_ms bigint NOT NULL
);
CREATE INDEX client_order_by_account ON gateway.client_order (account_id, position);
CREATE INDEX client_order_by_strategy ON gateway.client_order (world_id, strategy_id, position);

-- The gate the router has applied last; compared in the transaction of every order.
CREATE TABLE gateway.gate_fence (
  world_id text PRIMARY KEY,
  store_epoch bigint NOT NULL,
  revision bigint NOT NULL,
  fence bigint NOT NULL,
  gate text NOT NULL
);

-- Halts in force.
CREATE TABLE gateway.halt (
  scope text NOT NULL,
  target text NOT NULL,
  reason text NOT NULL,
  time_ms bigint NOT NULL,
  PRIMARY KEY (scope, target)
);

-- Settings of the worlds that trade here, so that a halt works while their owner is down.
CREATE TABLE gateway.order_world (
  world_id text PRIMARY KEY,
  account_id text NOT NULL,
  body jsonb NOT NULL
);

-- Executed rebalances and other answers that must be given again as they were.
CREATE TABLE gateway.order_request (
  kind text NOT NULL,
  request_id text NOT NULL,
  request_hash text NOT NULL,
  answer bytea NOT NULL,
  time_ms bigint NOT NULL,
  PRIMARY KEY (kind, request_id)
);

-- What each runner wanted while its gate was shut.
CREATE TABLE gateway.wanted_orders (
  world_id text NOT NULL,
  session_id text NOT NULL,
  strategy_ids text[] NOT NULL,
  wanted bigint NOT NULL,
  evaluations jsonb NOT NULL,
  PRIMARY KEY (world_id, session_id)
);
