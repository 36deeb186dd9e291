-- Control events as this gateway took them off the bus, for ListEvents. A copy: the bus and its owners hold the facts.
create table {{schema}}.control_event (
  id bigint generated always as identity primary key,
  partition integer not null,
  position bigint not null,
  topic_key text not null,
  event bytea not null,
  -- One event of the bus is stored once, whichever gateway reads it, and however often.
  unique (partition, position));
create index control_event_by_key on {{schema}}.control_event (topic_key, id);
