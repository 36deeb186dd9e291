-- What the journal of an account gives up to an entry, so that a start replays what comes after it. Derived: the journal
-- alone is the truth. A snapshot is in pieces from 1 on; piece 0, which says how many and their hash, is stored last.
CREATE TABLE gateway.account_snapshot (
  account_id text NOT NULL,
  entry bigint NOT NULL,
  piece bigint NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (account_id, entry, piece)
);
