-- The paper broker's own books. Nothing of the gateway reads these tables.

-- The fence of each world as the broker was told last.
CREATE TABLE paper.world_fence (
  world_id text PRIMARY KEY,
  fence bigint NOT NULL
);

-- Every order that was accepted, for ever: what left, under which fence and decision, and when.
CREATE TABLE paper.accepted_order (
  account_id text NOT NULL,
  order_id text NOT NULL,
  position bigint GENERATED ALWAYS AS IDENTITY,
  world_id text NOT NULL,
  strategy_id text NOT NULL,
  instrument text NOT NULL,
  lots bigint NOT NULL,
  bucket_end_ms bigint NOT NULL,
  reduce_only boolean NOT NULL,
  fence bigint NOT NULL,
  decision_id text NOT NULL,
  origin text NOT NULL,
  accepted_ms bigint NOT NULL,
  outcome text,
  report_lost boolean NOT NULL DEFAULT false,
  PRIMARY KEY (account_id, order_id)
);

CREATE TABLE paper.execution (
  account_id text NOT NULL,
  sequence bigint NOT NULL,
  execution_id text NOT NULL,
  order_id text NOT NULL,
  instrument text NOT NULL,
  lots bigint NOT NULL,
  price double precision NOT NULL,
  fee double precision NOT NULL,
  source_row bigint NOT NULL,
  bucket_end_ms bigint NOT NULL,
  PRIMARY KEY (account_id, sequence),
  UNIQUE (account_id, execution_id)
);

CREATE TABLE paper.bar (
  account_id text NOT NULL,
  instrument text NOT NULL,
  source_row bigint NOT NULL,
  bucket_end_ms bigint NOT NULL,
  open double precision NOT NULL,
  high double precision NOT NULL,
  low double precision NOT NULL,
  close double precision NOT NULL,
  PRIMARY KEY (account_id, instrument, bucket_end_ms)
);

-- Lots held by each sub-account; the sum over sub-accounts is the account's position.
CREATE TABLE paper.holding (
  account_id text NOT NULL,
  instrument text NOT NULL,
  book text NOT NULL,
  lots bigint NOT NULL,
  PRIMARY KEY (account_id, instrument, book)
);

CREATE TABLE paper.cash (
  account_id text PRIMARY KEY,
  cash double precision NOT NULL
);

-- Internal crosses that were moved between sub-accounts, once per batch.
CREATE TABLE paper.transfer (
  account_id text NOT NULL,
  batch_id text NOT NULL,
  PRIMARY KEY (account_id, batch_id)
);
