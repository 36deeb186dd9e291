-- What the holder is configured with: a hash for each key that matters to who takes over, as JSON. Empty: not stated.
ALTER TABLE {{schema}}.account_lease ADD COLUMN settings text NOT NULL DEFAULT '';
