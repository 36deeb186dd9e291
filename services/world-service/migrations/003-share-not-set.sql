-- NULL: no share was ever set. While none of a world's strategies has one, they share it equally; a 0 that was set is 0.
ALTER TABLE world.binding ALTER COLUMN share DROP NOT NULL;

UPDATE world.binding b SET share = NULL WHERE b.share = 0 AND NOT EXISTS (
  SELECT FROM world.binding other
  WHERE other.world_id = b.world_id AND NOT other.removed AND other.share > 0
);
