-- Whether the strategies that were last let into a world read replayed or live sources. A submission takes the row when
-- it is stored: of two at the same moment the second finds what the first one is.
create table {{schema}}.world_clock (
  world_id text primary key,
  is_replay boolean not null,
  -- Raised by each submission that takes it.
  revision bigint not null default 1
);
