"""What must be true of coupons, showings, redemptions and limits; see `wallet.proofs`."""

from __future__ import annotations

COUPON_PROOFS: tuple[tuple[str, str, str], ...] = (
    (
        "coupons_are_the_journal",
        "coupons by state = the journal's coupon legs, resident by resident",
        """
        SELECT owner, c.issued, j.out, c.redeemed, j.used, c.gone, j.gone FROM
          (SELECT b, owner, count(*) FILTER (WHERE state IN ('issued', 'locked')) AS issued,
             count(*) FILTER (WHERE state = 'redeemed') AS redeemed,
             count(*) FILTER (WHERE state IN ('expired', 'voided')) AS gone, sum(reserved_fen) AS reserved,
             count(*) AS n
           FROM coupon GROUP BY b, owner) c
        FULL JOIN (SELECT b, owner, sum(c_out) AS out, sum(c_used) AS used, sum(c_gone) AS gone,
             coalesce(sum(f_reserved), 0) AS reserved, count(*) FILTER (WHERE op = 2) AS n,
             sum(c_stock) FILTER (WHERE op IN (5, 16)) AS restocked
           FROM journal WHERE c_out IS NOT NULL OR f_reserved IS NOT NULL GROUP BY b, owner) j USING (b, owner)
        WHERE (coalesce(c.issued, 0), coalesce(c.redeemed, 0), coalesce(c.gone, 0) - coalesce(j.restocked, 0),
               coalesce(c.reserved, 0), coalesce(c.n, 0))
           <> (coalesce(j.out, 0), coalesce(j.used, 0), coalesce(j.gone, 0), coalesce(j.reserved, 0),
               coalesce(j.n, 0))""",
    ),
    (
        "coupon_is_as_its_entries_left_it",
        "every coupon's state, lock, last day and reserve are what its own entries say",
        """
        SELECT coalesce(c.owner, e.owner), coalesce(c.id, e.coupon), c.state, e.op FROM coupon c
        FULL JOIN (
          SELECT b, owner, (detail ->> 'coupon_id')::uuid AS coupon, sum(coalesce(f_reserved, 0)) AS reserved,
            (array_agg(op ORDER BY seq DESC) FILTER (WHERE op <> 6))[1] AS op,
            (array_agg(id ORDER BY seq DESC) FILTER (WHERE op <> 6))[1] AS id,
            (array_agg(detail ->> 'locked_until' ORDER BY seq DESC) FILTER (WHERE op <> 6))[1] AS locked_until,
            (array_agg(detail ->> 'expires_on' ORDER BY seq DESC) FILTER (WHERE op IN (2, 4)))[1] AS expires_on
          FROM journal WHERE op IN (2, 3, 4, 5, 6, 14, 15, 16) AND st = 0
          GROUP BY b, owner, detail ->> 'coupon_id') e ON e.b = c.b AND e.owner = c.owner AND e.coupon = c.id
        WHERE c.id IS NULL OR e.coupon IS NULL OR c.reserved_fen <> e.reserved
          OR c.expires_on IS DISTINCT FROM e.expires_on::date
          OR c.state <> CASE e.op WHEN 3 THEN 'redeemed' WHEN 5 THEN 'expired' WHEN 14 THEN 'locked'
                                  WHEN 16 THEN 'voided' ELSE 'issued' END
          OR c.redemption_id IS DISTINCT FROM CASE WHEN e.op = 3 THEN e.id END
          OR c.lock_id IS DISTINCT FROM CASE WHEN e.op = 14 THEN e.id END
          OR c.locked_until IS DISTINCT FROM CASE WHEN e.op = 14 THEN e.locked_until::timestamptz END""",
    ),
    (
        "coupon_came_from_a_claim",
        "every coupon is the coupon of one claim under its id",
        """
        SELECT c.owner, c.id FROM coupon c
        LEFT JOIN journal j ON j.b = c.b AND j.owner = c.owner AND j.id = c.id AND j.op = 2 AND j.st = 0
        WHERE j.id IS NULL OR j.terms <> c.terms""",
    ),
    (
        "redemption_has_its_entry",
        "every redemption has its journal row with the same amount, and every such row its redemption",
        """
        SELECT coalesce(r.id, j.id) FROM redemption r
        FULL JOIN (SELECT * FROM journal WHERE op = 3 AND st = 0) j
          ON j.b = r.b AND j.owner = r.owner AND j.id = r.id
        WHERE r.id IS NULL OR j.id IS NULL OR r.platform_fen + r.sponsor_fen <> coalesce(j.f_payable, 0)
          OR j.peer <> r.merchant_id OR j.ref <> r.coupon_id""",
    ),
    (
        "void_is_the_negative",
        "every void is the exact negative of its redemption, once",
        """
        SELECT v.redemption_id FROM redemption_void v JOIN redemption r ON r.b = v.b AND r.id = v.redemption_id
        LEFT JOIN journal j ON j.b = r.b AND j.owner = r.owner AND j.id = v.id AND j.op = 4 AND j.st = 0
        WHERE j.id IS NULL OR j.c_used <> -1 OR coalesce(j.f_payable, 0) <> -r.platform_fen - r.sponsor_fen
          OR j.ref <> r.id
        UNION ALL
        SELECT j.id FROM journal j WHERE j.op = 4 AND j.st = 0
          AND NOT EXISTS (SELECT FROM redemption_void v WHERE v.b = j.b AND v.id = j.id)""",
    ),
    (
        "coupon_keeps_its_days",
        "no coupon ends before the day it was promised at the claim",
        """
        SELECT c.owner, c.id FROM coupon c
        JOIN journal j ON j.b = c.b AND j.owner = c.owner AND j.id = c.id AND j.op = 2 AND j.st = 0
        WHERE c.expires_on < (j.detail ->> 'expires_on')::date""",
    ),
    (
        "discount_is_borne_in_shares",
        "who bears a discount does so by the shares of its terms, less than a fen off, and together it is the discount",
        """
        SELECT r.id FROM redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
        WHERE r.platform_fen + r.sponsor_fen + r.merchant_fen <> r.discount_fen
          OR abs(r.platform_fen * 10000 - r.discount_fen * t.platform_bp) >= 10000
          OR abs(r.sponsor_fen * 10000 - r.discount_fen * t.sponsor_bp) >= 10000
          OR abs(r.merchant_fen * 10000 - r.discount_fen * t.merchant_bp) >= 10000""",
    ),
    (
        "redeemed_where_and_when_allowed",
        "every coupon was redeemed by a merchant and store of its terms, after its first day, in hours of its windows",
        """
        SELECT r.id FROM day_of, redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
        JOIN coupon c ON c.b = r.b AND c.owner = r.owner AND c.id = r.coupon_id,
        LATERAL (SELECT r.at AT TIME ZONE day_of.zone AS at, c.issued_at AT TIME ZONE day_of.zone AS issued_at) l
        WHERE r.merchant_id <> ALL (t.merchants) AND t.merchants <> '{}'
          OR r.store_id <> ALL (t.stores) AND t.stores <> '{}'
          OR l.at::date < greatest(l.issued_at::date + t.starts_after_days, t.valid_from)
          OR t.windows <> '{}' AND NOT EXISTS (
            SELECT FROM unnest(t.windows) w WHERE extract(isodow FROM l.at) = ANY (w.weekdays)
              AND l.at::time >= make_interval(mins => w.from_minute)::time
              AND (w.until_minute = 1440 OR l.at::time < make_interval(mins => w.until_minute)::time))""",
    ),
    (
        "an_order_carries_what_it_may",
        "on one order of a shop a person used no more coupons of a stacking group, and saved no more, than it allows",
        """
        SELECT x.owner, x.merchant_id, x.order_no FROM (
          SELECT r.b, r.owner, r.merchant_id, r.order_no, t.stacking_group, t.most_per_order,
            count(*) OVER (PARTITION BY r.b, r.owner, r.merchant_id, r.order_no, t.stacking_group) AS stacked,
            sum(r.discount_fen) OVER (PARTITION BY r.b, r.owner, r.merchant_id, r.order_no) AS discount_fen,
            min(r.order_amount_fen) OVER (PARTITION BY r.b, r.owner, r.merchant_id, r.order_no) AS order_amount_fen
          FROM redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
          LEFT JOIN redemption_void v ON v.b = r.b AND v.redemption_id = r.id
          WHERE r.order_no IS NOT NULL AND v.id IS NULL) x
        WHERE x.stacking_group IS NOT NULL AND x.stacked > x.most_per_order OR x.discount_fen > x.order_amount_fen""",
    ),
    (
        "one_redemption_per_credential",
        "a showing or lock is redeemed at most once, and every redemption spent one",
        """
        SELECT c.id FROM credential c
        LEFT JOIN redemption r ON r.b = c.b AND r.owner = c.owner AND r.credential_id = c.id
        WHERE (c.state = 'redeemed') <> (r.id IS NOT NULL) OR (r.id IS NOT NULL AND r.id <> c.redemption_id)
        UNION ALL
        SELECT credential_id FROM redemption GROUP BY b, owner, credential_id HAVING count(*) > 1
        UNION ALL
        SELECT r.credential_id FROM redemption r
        WHERE NOT EXISTS (SELECT FROM credential c WHERE c.b = r.b AND c.owner = r.owner AND c.id = r.credential_id)
          AND NOT EXISTS (SELECT FROM journal j WHERE j.b = r.b AND j.owner = r.owner AND j.id = r.credential_id
                          AND j.op = 14 AND j.st = 0 AND j.ref = r.coupon_id)""",
    ),
    (
        "coupon_knows_its_redemption",
        "a redeemed coupon has exactly one redemption that was not voided; any other coupon has none",
        """
        SELECT c.owner, c.id FROM coupon c
        LEFT JOIN (SELECT r.b, r.coupon_id, count(*) AS n, min(r.id::text) AS id FROM redemption r
                   LEFT JOIN redemption_void v ON v.b = r.b AND v.redemption_id = r.id
                   WHERE v.id IS NULL GROUP BY r.b, r.coupon_id) r ON r.b = c.b AND r.coupon_id = c.id
        WHERE (c.state = 'redeemed') <> (coalesce(r.n, 0) = 1) OR coalesce(r.n, 0) > 1
          OR c.redemption_id::text IS DISTINCT FROM r.id""",
    ),
    (
        "allowances_are_the_journal",
        "what is counted against each person's limits is what the journal says, and never above the widest cap",
        """
        SELECT coalesce(a.owner, j.owner), coalesce(a.limit_id, j.limit_id), a.period_start, a.used, j.used
        FROM allowance a FULL JOIN (
          SELECT x.b, x.owner, l.limit_id,
            CASE l.period WHEN 'total' THEN date '1970-01-01' ELSE date_trunc(l.period, x.day::timestamp)::date END
              AS period_start,
            max(l.cap) AS cap,
            sum(x.sign * CASE l.measure WHEN 'count' THEN 1 WHEN 'points' THEN x.points ELSE x.fen END) AS used
          FROM (
            SELECT j.b, j.owner, 'earn' AS action, 1 AS sign, j.d_avail AS points, 0 AS fen, t.person_limits,
              (j.detail ->> 'earned_on')::date AS day
            FROM journal j JOIN vault.earn_terms t ON t.terms = j.terms WHERE j.op = 1 AND j.st = 0
            UNION ALL
            SELECT j.b, j.owner, 'issue', 1, coalesce(j.d_peer, 0), t.face_value_fen, t.person_limits,
              (j.at AT TIME ZONE day_of.zone)::date
            FROM day_of, journal j JOIN vault.coupon_terms t ON t.terms = j.terms WHERE j.op = 2 AND j.st = 0
            UNION ALL
            SELECT r.b, r.owner, 'redeem', CASE WHEN v.id IS NULL THEN 1 ELSE 0 END, 0, r.discount_fen,
              t.person_limits, r.business_date
            FROM redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
            LEFT JOIN redemption_void v ON v.b = r.b AND v.redemption_id = r.id) x, unnest(x.person_limits) l
          WHERE l.action = x.action GROUP BY 1, 2, 3, 4) j USING (b, owner, limit_id, period_start)
        WHERE coalesce(a.used, 0) <> coalesce(j.used, 0) OR a.used > j.cap""",
    ),
)
