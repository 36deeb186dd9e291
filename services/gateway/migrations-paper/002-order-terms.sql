-- What a working order waits for; the price is null for a market order.
ALTER TABLE paper.accepted_order ADD COLUMN order_type text NOT NULL DEFAULT 'market';
ALTER TABLE paper.accepted_order ADD COLUMN price double precision;
