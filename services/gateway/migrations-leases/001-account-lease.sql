-- Which gateway trades an account. Its epoch rises with each taking and is compared by every write of the order router:
-- a gateway that was deposed writes nothing more. Times of leases are the database's own.
CREATE TABLE {{schema}}.account_lease (
  account_id text PRIMARY KEY,
  epoch bigint NOT NULL,
  -- Names the process, unique for ever.
  holder text NOT NULL,
  -- The process for people.
  gateway_id text NOT NULL,
  host text NOT NULL,
  pid bigint NOT NULL,
  start_time_ms bigint NOT NULL,
  expire_time timestamptz NOT NULL,
  -- Part of a key, so that a taking waits for the writes that compare it, and a renewal does not.
  UNIQUE (account_id, epoch)
);
