-- One row at most, from the first restore from a backup on: epochs and revisions of what is made after it lie
-- above, for what was forgotten with the backup may have used any number below.
create table dag.restore_floor (
  only_row boolean primary key default true check (only_row),
  floor bigint not null
);
