-- One queue per compute key. `is_source`: context "" shared by all worlds. `pins`: fingerprint by source, of the node's
-- cone. `columns`: name and kind of each.
create table dag.queue (
  compute_key text primary key,
  node_id text not null references dag.node (node_id),
  name text not null,
  world_id text not null,
  execution_domain text not null,
  as_of text not null,
  pins jsonb not null,
  partition text not null,
  is_source boolean not null,
  interval_seconds bigint not null,
  columns jsonb not null,
  tags text[] not null,
  source text not null,
  gateway_only boolean not null,
  submission_id text not null,
  created_ms bigint not null,
  constraint queue_name unique (name)
);
create index queue_by_node on dag.queue (node_id);
create index queue_by_source on dag.queue (source) where source <> '';
create index queue_by_tag on dag.queue using gin (tags);

-- State of the fold over the log of a key; locked by every append. Null: nothing yet. Beside it stand copies
-- of what an append must know, so that it reads this table alone: the queue's fixed facts, and the last epoch
-- that was granted.
create table dag.queue_head (
  compute_key text primary key references dag.queue (compute_key),
  columns integer not null,
  source text not null,
  is_source boolean not null,
  granted_epoch bigint not null default 0,
  is_blocked boolean not null default false,
  next_offset bigint not null default 0,
  epoch bigint not null default 0,
  next_seq bigint not null default 0,
  next_row bigint not null default 0,
  known_at_ms double precision,
  watermark_ms double precision,
  is_ended boolean not null default false,
  void_records bigint not null default 0,
  last_bucket_end_ms double precision,
  feed_fingerprint text not null default '',
  origin_row bigint,
  origin_warm_from_row bigint,
  origin_state_hash bytea
);

-- The embedded log: effective records only, runs of rows in one entry. START: `seq` is the next one. No foreign
-- key: every insert holds the lock of the key's head.
create table dag.queue_record (
  compute_key text not null,
  log_offset bigint not null,
  kind smallint not null,
  epoch bigint not null,
  seq bigint not null,
  count integer not null,
  first_row bigint not null,
  last_row bigint not null,
  known_at_ms double precision,
  bytes bytea not null,
  primary key (compute_key, log_offset)
);
create index queue_record_by_seq on dag.queue_record (compute_key, seq);

create table dag.node_lease (
  compute_key text primary key references dag.queue (compute_key),
  epoch bigint not null,
  session_id text,
  build text,
  excluded text[] not null default '{}'
);

create table dag.node_snapshot (
  compute_key text not null references dag.queue (compute_key),
  seq bigint not null,
  row_number bigint not null,
  state_hash bytea not null,
  state bytea not null,
  created_ms bigint not null,
  primary key (compute_key, seq)
);
