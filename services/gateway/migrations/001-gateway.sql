-- Facts of the Gateway's public half: submissions, ticket keys, source keys.
create table {{schema}}.submission (
  submission_id text primary key,
  strategy_id text not null,
  strategy_name text not null,
  strategy_version text not null,
  world_ids text[] not null,
  principal jsonb not null,
  first_principal text not null,
  request bytea not null,
  state text not null check (state in ('queued', 'processing', 'completed', 'failed')),
  state_reason text not null default '',
  attempts integer not null default 0,
  round integer not null default 1,
  result bytea,
  owner text,
  owned_until_ms bigint not null default 0,
  created_ms bigint not null,
  updated_ms bigint not null
);
create index submission_strategy on {{schema}}.submission (strategy_id);
create index submission_open on {{schema}}.submission (updated_ms) where state in ('queued', 'processing');

create index submission_name on {{schema}}.submission (strategy_name);

-- What the last completed round of a submission found: one queue per node and context, inputs before readers. Source
-- queues have no world.
create table {{schema}}.node_assignment (
  submission_id text not null references {{schema}}.submission (submission_id),
  position integer not null,
  world_id text not null,
  encoded bytea not null,
  primary key (submission_id, position)
);

create table {{schema}}.request_id (
  request_id text primary key,
  content_hash text not null,
  submission_id text not null,
  created_ms bigint not null
);
create index request_id_age on {{schema}}.request_id (created_ms);

create table {{schema}}.source_key (
  compute_key text primary key,
  node_id text not null,
  source text not null,
  instrument text not null,
  columns text[] not null,
  is_replay boolean not null
);

create table {{schema}}.ticket_key (
  kid text primary key,
  private_jwk jsonb not null,
  created_ms bigint not null
);
