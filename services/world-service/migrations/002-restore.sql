-- A world made again goes on in the store epoch it ended in.
ALTER TABLE world.retired_world ADD COLUMN store_epoch bigint NOT NULL DEFAULT 1;

-- One row at most, from the first restore from a backup on: store epochs and fences of what is made
-- after it lie above, for what was forgotten with the backup may have used any number below.
CREATE TABLE world.restore_floor (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  floor bigint NOT NULL
);
