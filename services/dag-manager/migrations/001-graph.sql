-- The global strategy graph. Append-only.
create table dag.node (
  node_id text primary key,
  node_type text not null,
  interval_seconds bigint not null,
  tags text[] not null,
  source text not null,
  encoded bytea not null,
  submission_id text not null,
  created_ms bigint not null
);

create table dag.strategy_node (
  strategy_id text not null,
  node_id text not null references dag.node (node_id),
  position integer not null,
  primary key (strategy_id, node_id)
);
create index strategy_node_by_node on dag.strategy_node (node_id);

-- Contexts a strategy is computed in; at most one in force per world. `pins`: fingerprint by source.
create table dag.strategy_context (
  strategy_id text not null,
  world_id text not null,
  execution_domain text not null,
  as_of text not null,
  pins jsonb not null,
  partition text not null,
  is_current boolean not null,
  created_ms bigint not null,
  primary key (strategy_id, world_id, execution_domain, as_of, partition)
);
create unique index strategy_context_current
  on dag.strategy_context (strategy_id, world_id) where is_current;

create table dag.sentinel (
  sentinel_id text primary key,
  strategy_id text not null,
  version text not null,
  submission_id text not null,
  created_ms bigint not null
);

create table dag.tag_query (
  query_id text primary key,
  tags text[] not null,
  match_all boolean not null,
  interval_seconds bigint not null,
  -- Worlds of the strategies that ask it.
  world_ids text[] not null default '{}',
  created_ms bigint not null
);
