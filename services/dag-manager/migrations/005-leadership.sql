-- Which process leads, where several may run. Times are the database's own.
create table dag.leadership (
  only_row boolean primary key default true check (only_row),
  owner text not null,
  term bigint not null,
  until timestamptz not null
);
