-- Strategies that are or were being taken out of a world: their compute contexts are to follow their bindings.
create table {{schema}}.unbinding (
  world_id text not null,
  strategy_id text not null,
  -- Counts what was asked; what was asked while the row was worked on is looked at again.
  asked integer not null default 1,
  asked_ms bigint not null,
  is_due boolean not null default true,
  -- The context may be out of force: whoever finds the strategy bound opens it.
  may_be_closed boolean not null default false,
  owner text,
  owned_until_ms bigint not null default 0,
  primary key (world_id, strategy_id)
);
create index unbinding_due on {{schema}}.unbinding (asked_ms) where is_due;
