-- Fence up to which what a freeze asks for is done: the working opening orders of the world are cancelled. While it is
-- below `fence`, that is still owed, also after a restart. What earlier versions stored counts as done.
ALTER TABLE gateway.gate_fence ADD COLUMN settled_fence bigint NOT NULL DEFAULT 0;
UPDATE gateway.gate_fence SET settled_fence = fence;
