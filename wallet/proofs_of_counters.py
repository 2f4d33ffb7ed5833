"""What must be true of limits at places; see `wallet.proofs`. What a counter has left is proved with the budgets."""

from __future__ import annotations

COUNTER_PROOFS: tuple[tuple[str, str, str], ...] = (
    (
        "counters_are_what_terms_allow",
        "every counter is a budget as large as its entries, of a limit that there is, in a period that begins so",
        """
        SELECT coalesce(c.budget, e.budget), c.limit_id, c.cap, e.cap FROM vault.counter c
        FULL JOIN (SELECT g.budget, g.unit, coalesce(sum(n.amount), 0) AS cap FROM vault.budget g
                   LEFT JOIN vault.budget_entry n ON n.budget = g.budget WHERE g.budget < 0 GROUP BY g.budget) e
          ON e.budget = c.budget
        LEFT JOIN vault.limit_cap l ON l.limit_id = c.limit_id
        WHERE c.cap IS DISTINCT FROM e.cap OR l.limit_id IS NULL
          OR e.unit <> CASE l.measure WHEN 'face_value_fen' THEN 'fen' ELSE l.measure END
          OR c.period_start <> CASE l.period WHEN 'total' THEN date '1970-01-01' WHEN 'day' THEN c.period_start
                                    ELSE date_trunc(l.period, c.period_start::timestamp)::date END""",
    ),
    (
        "counters_are_the_journal",
        "every entry took from the counters of its terms' limits, at its place and in its period, what it did, once",
        """
        SELECT coalesce(w.owner, k.owner), coalesce(w.id, k.id), coalesce(w.limit_id, k.limit_id), w.amount, k.amount
        FROM (
          SELECT x.b, x.owner, x.id, l.limit_id, x.day, l.period,
            CASE l.scope WHEN 'merchant' THEN x.merchant::text WHEN 'store' THEN x.store::text
                         WHEN 'campaign' THEN '' END AS place,
            x.sign * CASE l.measure WHEN 'count' THEN 1 WHEN 'points' THEN x.points WHEN 'fen' THEN x.fen
                                    ELSE x.face END AS amount
          FROM (
            SELECT j.b, j.owner, j.id, 'earn' AS action, 1 AS sign, j.d_avail AS points, 0 AS face, 0 AS fen,
              t.scoped_limits, (j.detail ->> 'earned_on')::date AS day, 0 AS merchant, 0 AS store
            FROM journal j JOIN vault.earn_terms t ON t.terms = j.terms AND t.scoped_limits <> '{}'
            WHERE j.op = 1 AND j.st = 0
            UNION ALL
            SELECT j.b, j.owner, j.id, 'issue', 1, coalesce(j.d_peer, 0), t.face_value_fen, coalesce(j.f_reserved, 0),
              t.scoped_limits, (j.at AT TIME ZONE day_of.zone)::date, 0, 0
            FROM day_of, journal j JOIN vault.coupon_terms t ON t.terms = j.terms AND t.scoped_limits <> '{}'
            WHERE j.op = 2 AND j.st = 0
            UNION ALL
            SELECT r.b, r.owner, s.id, 'redeem', s.sign, 0, r.discount_fen, r.platform_fen + r.sponsor_fen,
              t.scoped_limits, r.business_date, r.merchant_id, r.store_id
            FROM redemption r JOIN vault.coupon_terms t ON t.terms = r.terms AND t.scoped_limits <> '{}'
            CROSS JOIN LATERAL (SELECT r.id, 1 AS sign UNION ALL SELECT v.id, -1 FROM redemption_void v
                                WHERE v.b = r.b AND v.redemption_id = r.id) s) x, unnest(x.scoped_limits) l
          WHERE l.action = x.action) w
        FULL JOIN (
          SELECT j.b, j.owner, j.id, c.limit_id, c.place, c.period_start, (k ->> 2)::bigint AS amount
          FROM journal j CROSS JOIN LATERAL jsonb_array_elements(j.takes) k
          LEFT JOIN vault.counter c ON c.budget = (k ->> 0)::bigint
          WHERE (j.takes -> -1 ->> 0)::bigint < 0 AND (k ->> 0)::bigint < 0) k
          ON k.b = w.b AND k.owner = w.owner AND k.id = w.id AND k.limit_id = w.limit_id
        WHERE coalesce(w.amount, 0) <> coalesce(k.amount, 0) OR k.place <> w.place
          OR k.period_start <> CASE w.period WHEN 'total' THEN date '1970-01-01'
                                             ELSE date_trunc(w.period, w.day::timestamp)::date END""",
    ),
)
