-- A series holds a return per mark, and ratios take one per returns interval, so the two are counted apart. Series stored
-- before had one return per interval.
ALTER TABLE world.returns_series ADD COLUMN intervals integer;
UPDATE world.returns_series SET intervals = samples;
ALTER TABLE world.returns_series ALTER COLUMN intervals SET NOT NULL;

-- End of the first bucket with a return of -1 or less: nothing was left, and what follows does not count.
ALTER TABLE world.returns_series ADD COLUMN ruined_ms bigint;
