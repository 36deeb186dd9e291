-- Accounts whose orders a halt was to cancel, or whose positions it was to close, when the gateway that stored it could
-- not do so, because another one had them by then. The gateway that has them does it.
ALTER TABLE gateway.halt
  ADD COLUMN to_cancel text[] NOT NULL DEFAULT '{}',
  ADD COLUMN to_flatten text[] NOT NULL DEFAULT '{}';
