-- When a bar began. Of bars stored before that was kept: the end of the bar before; of the first, just before its end.
ALTER TABLE paper.bar ADD COLUMN open_time_ms bigint;
UPDATE paper.bar AS b SET open_time_ms = coalesce(
  (SELECT max(e.bucket_end_ms) FROM paper.bar AS e
   WHERE e.account_id = b.account_id AND e.instrument = b.instrument AND e.bucket_end_ms < b.bucket_end_ms),
  b.bucket_end_ms - 1
);
ALTER TABLE paper.bar ALTER COLUMN open_time_ms SET NOT NULL;
