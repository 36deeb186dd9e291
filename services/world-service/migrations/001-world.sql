-- Worlds, their bindings and everything that says why. Times are epoch milliseconds.
CREATE TABLE world.world (
  world_id text PRIMARY KEY,
  body jsonb NOT NULL,
  version bigint NOT NULL,
  stage text NOT NULL,
  policy_version integer NOT NULL,
  allocation double precision NOT NULL,
  watermark_ms bigint,
  audit_entries bigint NOT NULL DEFAULT 0,
  created_ms bigint NOT NULL
);

CREATE TABLE world.binding (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  strategy_id text NOT NULL,
  strategy_name text NOT NULL,
  stage text NOT NULL,
  share double precision NOT NULL,
  demoted_from text[] NOT NULL DEFAULT '{}',
  picked boolean,
  removed boolean NOT NULL DEFAULT false,
  bound_order bigint NOT NULL,
  created_ms bigint NOT NULL,
  PRIMARY KEY (world_id, strategy_id)
);

-- Append-only: a version is never changed.
CREATE TABLE world.policy (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  version integer NOT NULL,
  document text NOT NULL,
  checksum text NOT NULL,
  principal text NOT NULL,
  created_ms bigint NOT NULL,
  PRIMARY KEY (world_id, version)
);

-- Append-only, with the whole trace.
CREATE TABLE world.evaluation (
  evaluation_id text PRIMARY KEY,
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  entry bigint GENERATED ALWAYS AS IDENTITY,
  policy_version integer NOT NULL,
  body jsonb NOT NULL,
  created_ms bigint NOT NULL
);
CREATE INDEX evaluation_by_world ON world.evaluation (world_id, entry DESC);

-- Append-only.
CREATE TABLE world.decision (
  decision_id text PRIMARY KEY,
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  entry bigint GENERATED ALWAYS AS IDENTITY,
  mode text NOT NULL,
  body jsonb NOT NULL,
  created_ms bigint NOT NULL
);
CREATE INDEX decision_by_world ON world.decision (world_id, entry DESC);

CREATE TABLE world.gate (
  world_id text PRIMARY KEY REFERENCES world.world ON DELETE CASCADE,
  store_epoch bigint NOT NULL,
  revision bigint NOT NULL,
  fence bigint NOT NULL,
  gate text NOT NULL,
  body jsonb NOT NULL,
  hold_reasons jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE world.apply_run (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  run_id text NOT NULL,
  entry bigint GENERATED ALWAYS AS IDENTITY,
  state text NOT NULL,
  fence bigint NOT NULL,
  body jsonb NOT NULL,
  stages jsonb NOT NULL,
  phases jsonb NOT NULL,
  principal text NOT NULL,
  created_ms bigint NOT NULL,
  PRIMARY KEY (world_id, run_id)
);
CREATE UNIQUE INDEX apply_run_in_flight ON world.apply_run (world_id) WHERE state IN ('FREEZING', 'SWITCHED');

CREATE TABLE world.emitter (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  strategy_id text NOT NULL,
  session_id text,
  PRIMARY KEY (world_id, strategy_id)
);

CREATE TABLE world.returns_series (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  strategy_id text NOT NULL,
  domain text NOT NULL,
  interval_seconds bigint NOT NULL,
  periods_per_year double precision NOT NULL,
  samples integer NOT NULL,
  from_ms bigint NOT NULL,
  to_ms bigint NOT NULL,
  data_end_ms bigint NOT NULL,
  PRIMARY KEY (world_id, strategy_id, domain)
);

-- Little-endian float64 columns, 512 samples a chunk at most.
CREATE TABLE world.returns_chunk (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  strategy_id text NOT NULL,
  domain text NOT NULL,
  chunk integer NOT NULL,
  returns bytea NOT NULL,
  bucket_ends bytea NOT NULL,
  exposed bytea NOT NULL,
  PRIMARY KEY (world_id, strategy_id, domain, chunk)
);

-- Append-only, gap-free per world. Kept when its world is deleted.
CREATE TABLE world.audit (
  world_id text NOT NULL,
  entry bigint NOT NULL,
  type text NOT NULL,
  principal text NOT NULL,
  body jsonb NOT NULL,
  created_ms bigint NOT NULL,
  fence bigint NOT NULL,
  revision bigint NOT NULL,
  PRIMARY KEY (world_id, entry)
);

CREATE TABLE world.world_node (
  world_id text NOT NULL REFERENCES world.world ON DELETE CASCADE,
  node_id text NOT NULL,
  execution_domain text NOT NULL,
  status text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (world_id, node_id, execution_domain)
);

-- Append-only: the last entry of a world stands; readable as of a time.
CREATE TABLE world.allocation (
  entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  world_id text NOT NULL,
  ratio double precision NOT NULL,
  strategies jsonb NOT NULL,
  run_id text NOT NULL,
  principal text NOT NULL,
  created_ms bigint NOT NULL
);
CREATE INDEX allocation_by_world ON world.allocation (world_id, entry DESC);

-- Idempotency keys; forgotten after 24 h.
CREATE TABLE world.request (
  scope text NOT NULL,
  request_id text NOT NULL,
  request_hash text NOT NULL,
  response text NOT NULL,
  created_ms bigint NOT NULL,
  PRIMARY KEY (scope, request_id)
);

-- Audit counters outlive a deleted world, so that one made again goes on without a repeat.
CREATE TABLE world.retired_world (
  world_id text PRIMARY KEY,
  audit_entries bigint NOT NULL,
  revision bigint NOT NULL,
  fence bigint NOT NULL
);

-- One row at most: who leads, by the database's own clock.
CREATE TABLE world.leadership (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder text NOT NULL,
  epoch bigint NOT NULL,
  expires_at timestamptz NOT NULL
);
