-- Topic SUBMISSION is told from the submission's own row, which counts the revisions of its key: one statement writes both.
alter table {{schema}}.submission add column revision bigint not null default 1;
-- Of submissions that are there: above whatever was told of them, so that who follows one reads it anew.
update {{schema}}.submission set revision = 1000000;

-- Nobody reads it: rows mark the instruments whose mark_source is the feed.
alter table {{schema}}.source_key drop column instrument;
