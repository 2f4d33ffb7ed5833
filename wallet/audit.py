"""check-ledger: the proof that the books balance, from first principles.

Each check is one read of the whole ledger in one REPEATABLE READ READ ONLY transaction, made without calling any
function that posts; it returns the rows that break it, and none is the only good answer. Runs as the worker's role
(SELECT only).
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. `examples` are the first broken rows, as text."""

    check: str
    promise: str
    broken: int
    examples: tuple[str, ...]


CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "rows_balance",
        "every journal row balances in every unit, and a refusal moves nothing",
        """
        SELECT owner, id FROM vault.journal_all WHERE
          coalesce(d_avail + d_held + d_peer, 0) <> 0 OR coalesce(c_stock + c_out + c_used + c_gone, 0) <> 0
          OR coalesce(f_budget + f_reserved + f_payable, 0) <> 0
          OR num_nulls(d_avail, d_held, d_peer) NOT IN (0, 3) OR num_nulls(c_stock, c_out, c_used, c_gone) NOT IN (0, 4)
          OR num_nulls(f_budget, f_reserved, f_payable) NOT IN (0, 3)
          OR (st <> 0 AND num_nonnulls(d_avail, c_stock, f_budget) > 0)""",
    ),
    (
        "legs_sum_to_zero",
        "over all rows, each unit's legs together are zero",
        """
        SELECT * FROM (SELECT coalesce(sum(d_avail), 0) + coalesce(sum(d_held), 0) + coalesce(sum(d_peer), 0) AS points,
          coalesce(sum(c_stock), 0) + coalesce(sum(c_out), 0) + coalesce(sum(c_used), 0) + coalesce(sum(c_gone), 0) AS
          coupons, coalesce(sum(f_budget), 0) + coalesce(sum(f_reserved), 0) + coalesce(sum(f_payable), 0) AS fen FROM
          vault.journal_all) x
        WHERE points <> 0 OR coupons <> 0 OR fen <> 0""",
    ),
    (
        "wallet_is_its_entries",
        "every wallet is the sum of its entries",
        """
        SELECT w.owner, w.points_avail, s.avail, w.points_held, s.held, w.seq, s.n FROM vault.wallet w
        LEFT JOIN (SELECT b, owner, coalesce(sum(d_avail), 0) AS avail, coalesce(sum(d_held), 0) AS held, count(*) AS n
                   FROM vault.journal_all GROUP BY b, owner) s USING (b, owner)
        WHERE (w.points_avail, w.points_held, w.seq) <> (coalesce(s.avail, 0), coalesce(s.held, 0), coalesce(s.n,
        0))""",
    ),
    (
        "wallet_is_its_lots",
        "every wallet is the sum of its lots, sorted and positive",
        """
        SELECT owner FROM vault.wallet w WHERE points_avail <> (SELECT coalesce(sum(p), 0) FROM unnest(lot_points) p)
          OR cardinality(lot_expiry) <> cardinality(lot_points) OR EXISTS (SELECT FROM unnest(lot_points) p WHERE p <=
          0)
          OR lot_expiry <> (SELECT coalesce(array_agg(DISTINCT d ORDER BY d), '{}') FROM unnest(lot_expiry) d)""",
    ),
    (
        "no_entry_without_wallet",
        "every entry belongs to a wallet",
        """
        SELECT j.owner, j.id FROM vault.journal_all j WHERE NOT EXISTS (SELECT FROM vault.wallet w WHERE w.b = j.b AND
        w.owner = j.owner)""",
    ),
    (
        "sequence_has_no_gap",
        "every resident's rows are numbered 1, 2, 3 … and carry the running balance",
        """
        SELECT owner, seq FROM (SELECT owner, seq, avail_after, held_after, row_number() OVER o AS n,
        sum(coalesce(d_avail, 0)) OVER o AS avail,
          sum(coalesce(d_held, 0)) OVER o AS held
          FROM vault.journal_all WINDOW o AS (PARTITION BY b, owner ORDER BY seq)) x
        WHERE seq <> n OR avail_after <> avail OR held_after <> held""",
    ),
    (
        "lots_tell_the_change",
        "the lots of an entry add up to its points",
        """
        SELECT owner, id FROM vault.journal_all j WHERE d_avail IS NOT NULL
          AND abs(d_avail) <> (SELECT coalesce(sum((l ->> 1)::bigint), 0) FROM jsonb_array_elements(coalesce(lots,
          '[]')) l)""",
    ),
    (
        "budget_is_its_entries",
        "top-ups minus cuts = slots + reserve + what postings took and gave back",
        """
        SELECT g.budget, e.total, g.reserve + s.held AS remaining, t.taken FROM vault.budget g
        CROSS JOIN LATERAL (SELECT coalesce(sum(CASE kind WHEN 'topup' THEN amount ELSE -amount END), 0) AS total
                            FROM vault.budget_entry WHERE budget = g.budget) e
        CROSS JOIN LATERAL (SELECT coalesce(sum(avail), 0) AS held FROM vault.slot WHERE budget = g.budget) s
        LEFT JOIN (SELECT (t ->> 0)::bigint AS budget, sum((t ->> 2)::bigint) AS taken
                   FROM vault.journal_all, jsonb_array_elements(takes) t WHERE takes IS NOT NULL GROUP BY 1) t
          ON t.budget = g.budget
        WHERE e.total <> g.reserve + s.held + coalesce(t.taken, 0) OR g.reserve < 0
          OR EXISTS (SELECT FROM vault.slot WHERE budget = g.budget AND avail < 0)""",
    ),
    (
        "takes_are_the_legs",
        "what an entry took from budgets is what its legs say",
        """
        SELECT j.owner, j.id FROM vault.journal_all j
        LEFT JOIN LATERAL (SELECT
            coalesce(sum((t ->> 2)::bigint) FILTER (WHERE g.unit = 'points'), 0) AS points,
            coalesce(sum((t ->> 2)::bigint) FILTER (WHERE g.unit = 'coupons'), 0) AS coupons,
            coalesce(sum((t ->> 2)::bigint) FILTER (WHERE g.unit = 'fen'), 0) AS fen
          FROM jsonb_array_elements(coalesce(j.takes, '[]')) t JOIN vault.budget g ON g.budget = (t ->> 0)::bigint) x
          ON true
        WHERE x.coupons <> -coalesce(j.c_stock, 0) OR x.fen <> -coalesce(j.f_budget, 0)
          OR x.points <> CASE WHEN j.op = 1 THEN -coalesce(j.d_peer, 0) ELSE 0 END""",
    ),
    (
        "coupons_are_the_journal",
        "coupons by state = the journal's coupon legs, resident by resident",
        """
        SELECT owner, c.issued, j.out, c.redeemed, j.used, c.gone, j.gone FROM
          (SELECT b, owner, count(*) FILTER (WHERE state IN ('issued', 'locked')) AS issued, count(*) FILTER (WHERE
          state = 'redeemed') AS redeemed,
             count(*) FILTER (WHERE state IN ('expired', 'voided')) AS gone, sum(reserved_fen) AS reserved, count(*)
             AS n
           FROM vault.coupon GROUP BY b, owner) c
        FULL JOIN (SELECT b, owner, sum(c_out) AS out, sum(c_used) AS used, sum(c_gone) AS gone,
        coalesce(sum(f_reserved), 0) AS reserved,
             count(*) FILTER (WHERE op = 2) AS n, sum(c_stock) FILTER (WHERE op IN (5, 16)) AS restocked
           FROM vault.journal_all WHERE c_out IS NOT NULL OR f_reserved IS NOT NULL GROUP BY b, owner) j
          USING (b, owner)
        WHERE (coalesce(c.issued, 0), coalesce(c.redeemed, 0), coalesce(c.gone, 0) - coalesce(j.restocked, 0),
        coalesce(c.reserved, 0), coalesce(c.n, 0))
           <> (coalesce(j.out, 0), coalesce(j.used, 0), coalesce(j.gone, 0), coalesce(j.reserved, 0), coalesce(j.n,
           0))""",
    ),
    (
        "coupon_came_from_a_claim",
        "every coupon is the coupon of one claim under its id",
        """
        SELECT c.owner, c.id FROM vault.coupon c
        LEFT JOIN vault.journal_all j ON j.b = c.b AND j.owner = c.owner AND j.id = c.id AND j.op = 2 AND j.st = 0
        WHERE j.id IS NULL OR j.terms <> c.terms""",
    ),
    (
        "redemption_has_its_entry",
        "every redemption has its journal row with the same amount, and every such row its redemption",
        """
        SELECT coalesce(r.id, j.id) FROM vault.redemption r
        FULL JOIN (SELECT * FROM vault.journal_all WHERE op = 3 AND st = 0) j
          ON j.b = r.b AND j.owner = r.owner AND j.id = r.id
        WHERE r.id IS NULL OR j.id IS NULL OR r.sponsor_fen <> coalesce(j.f_payable, 0) OR j.peer <> r.merchant_id""",
    ),
    (
        "void_is_the_negative",
        "every void is the exact negative of its redemption, once",
        """
        SELECT v.redemption_id FROM vault.redemption_void v JOIN vault.redemption r ON r.b = v.b AND r.id =
        v.redemption_id
        LEFT JOIN vault.journal_all j ON j.b = r.b AND j.owner = r.owner AND j.id = v.id AND j.op = 4 AND j.st = 0
        WHERE j.id IS NULL OR j.c_used <> -1 OR coalesce(j.f_payable, 0) <> -r.sponsor_fen OR j.ref <> r.id
        UNION ALL
        SELECT j.id FROM vault.journal_all j WHERE j.op = 4 AND j.st = 0
          AND NOT EXISTS (SELECT FROM vault.redemption_void v WHERE v.b = j.b AND v.id = j.id)""",
    ),
    (
        "one_redemption_per_credential",
        "a credential is redeemed at most once and says so",
        """
        SELECT c.id FROM vault.credential c LEFT JOIN vault.redemption r ON r.b = c.b AND r.credential_id = c.id
        WHERE (c.state = 'redeemed') <> (r.id IS NOT NULL) OR (r.id IS NOT NULL AND r.id <> c.redemption_id)
        UNION ALL
        SELECT credential_id FROM vault.redemption GROUP BY b, credential_id HAVING count(*) > 1""",
    ),
    (
        "coupon_knows_its_redemption",
        "a redeemed coupon has exactly one redemption that was not voided; any other coupon has none",
        """
        SELECT c.owner, c.id FROM vault.coupon c
        LEFT JOIN (SELECT r.b, r.coupon_id, count(*) AS n, min(r.id::text) AS id FROM vault.redemption r
                   WHERE NOT EXISTS (SELECT FROM vault.redemption_void v WHERE v.b = r.b AND v.redemption_id = r.id)
                   GROUP BY r.b, r.coupon_id) r ON r.b = c.b AND r.coupon_id = c.id
        WHERE (c.state = 'redeemed') <> (coalesce(r.n, 0) = 1) OR coalesce(r.n, 0) > 1 OR c.redemption_id::text IS
        DISTINCT FROM r.id""",
    ),
    (
        "allowances_are_the_journal",
        "what is counted against each person's limits is what the journal says, and never above the widest cap",
        """
        SELECT coalesce(a.owner, j.owner), coalesce(a.limit_id, j.limit_id), a.period_start, a.used, j.used
        FROM vault.allowance a FULL JOIN (
          SELECT x.b, x.owner, l.limit_id,
            CASE l.period WHEN 'total' THEN date '1970-01-01' ELSE date_trunc(l.period, x.day::timestamp)::date END
              AS period_start,
            max(l.cap) AS cap,
            sum(x.sign * CASE l.measure WHEN 'count' THEN 1 WHEN 'points' THEN x.points ELSE x.fen END) AS used
          FROM (
            SELECT j.b, j.owner, 'earn' AS action, 1 AS sign, t.points, 0 AS fen, t.person_limits,
              (j.at AT TIME ZONE vault.zone())::date AS day
            FROM vault.journal_all j JOIN vault.earn_terms t ON t.terms = j.terms WHERE j.op = 1 AND j.st = 0
            UNION ALL
            SELECT j.b, j.owner, 'issue', 1, t.price_points, t.face_value_fen, t.person_limits,
              (j.at AT TIME ZONE vault.zone())::date
            FROM vault.journal_all j JOIN vault.coupon_terms t ON t.terms = j.terms WHERE j.op = 2 AND j.st = 0
            UNION ALL
            SELECT r.b, r.owner, 'redeem', CASE WHEN v.id IS NULL THEN 1 ELSE 0 END, 0, r.discount_fen, t.person_limits,
              r.business_date
            FROM vault.redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
            LEFT JOIN vault.redemption_void v ON v.b = r.b AND v.redemption_id = r.id) x, unnest(x.person_limits) l
          WHERE l.action = x.action GROUP BY 1, 2, 3, 4) j USING (b, owner, limit_id, period_start)
        WHERE coalesce(a.used, 0) <> coalesce(j.used, 0) OR a.used > j.cap""",
    ),
    (
        "buckets_are_right",
        "every row lies in its owner's bucket",
        """
        SELECT owner FROM vault.journal_all WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM vault.wallet WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM vault.coupon WHERE b <> (owner & 1023)""",
    ),
)


async def prove(dsn: str) -> list[Finding]:
    """Runs every check at one instant of the ledger. Raises when the database cannot be reached."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL statement_timeout = 0")
            findings = []
            for name, promise, sql in CHECKS:
                row = await connection.fetchrow(
                    f"WITH broken AS ({sql}) SELECT count(*) AS n, "  # noqa: S608
                    f"(SELECT array_agg(x::text) FROM (SELECT broken FROM broken LIMIT {SHOWN}) x) AS examples"
                    " FROM broken"
                )
                findings.append(Finding(name, promise, row["n"], tuple(row["examples"] or ())))
            return findings
    finally:
        await connection.close()
