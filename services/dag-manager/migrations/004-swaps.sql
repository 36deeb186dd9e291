-- A running strategy on its way into another compute context. The phases are those of SwapPhase.
create table dag.context_swap (
  swap_id text primary key,
  strategy_id text not null,
  world_id text not null,
  phase text not null check (phase in ('OPENING', 'PREPARE', 'COMMIT', 'ABORTED')),
  from_row bigint,
  encoded bytea not null,
  created_ms bigint not null,
  ordinal bigint generated always as identity
);
create unique index context_swap_open
  on dag.context_swap (strategy_id, world_id) where phase in ('OPENING', 'PREPARE');
