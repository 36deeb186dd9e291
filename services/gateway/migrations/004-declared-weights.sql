-- What the last completed round of a submission declared: its request, of which later rounds keep the targets alone. What
-- is handed in again counts only once it is completed.
alter table {{schema}}.submission add column declared bytea;
alter table {{schema}}.submission add column completed_ms bigint;
-- Of those handed in again since, the request of the completed round is not known any more.
update {{schema}}.submission set declared = request, completed_ms = updated_ms where result is not null;
