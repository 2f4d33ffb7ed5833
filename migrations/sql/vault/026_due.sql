-- What jobs look for beside the walks by key. A summary of pages, so that updates of other columns stay HOT; pages on which no
-- coupon is locked are not read at all.
CREATE INDEX coupon_lock ON vault.coupon USING brin (locked_until) WITH (pages_per_range = 32);
