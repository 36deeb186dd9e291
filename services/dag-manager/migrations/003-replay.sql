-- Hold and progress of a replay feed. `until_ms` null: no hold.
create table dag.feed (
  source text primary key,
  until_ms bigint,
  created_ms bigint not null
);

create table dag.replay_runner (
  source text not null references dag.feed (source),
  session_id text not null,
  world_id text not null,
  strategy_ids text[] not null,
  from_row bigint not null,
  created_ms bigint not null,
  primary key (source, session_id)
);
