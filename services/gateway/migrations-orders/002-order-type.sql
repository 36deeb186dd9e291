-- Plain orders may wait for a price; all orders before were market orders.
ALTER TABLE gateway.client_order ADD COLUMN order_type text NOT NULL DEFAULT 'market';
