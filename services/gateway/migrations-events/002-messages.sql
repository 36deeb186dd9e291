-- A message of the bus holds one or more events of one key.
alter table {{schema}}.control_event rename column event to payload;
alter table {{schema}}.control_event add column type text not null default '';
alter table {{schema}}.control_event add column count integer not null default 1;
