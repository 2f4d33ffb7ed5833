# ruff: noqa: S608 (queries of ours; what is put in are numbers)
"""What must be true of the books, each as one query for the rows that break it.

The queries name their tables without a schema: `scope` puts in front what they mean. WHOLE is every row; after an
earlier proof it is every row of the residents who have booked since, which is sound because each query judges one
resident at a time (`budget_is_its_entries` adds to what was taken before). No query calls a function that posts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from wallet.proofs_of_counters import COUNTER_PROOFS
from wallet.proofs_of_coupons import COUPON_PROOFS

#: The tables that belong to residents.
_OF_RESIDENTS = (
    "wallet", "coupon", "hold", "refunded", "allowance", "redemption", "credential",
)  # fmt: skip
_TAKEN = """
SELECT (t ->> 0)::bigint AS budget, sum((t ->> 2)::bigint) AS taken
FROM vault.journal_all, jsonb_array_elements(takes) t WHERE takes IS NOT NULL GROUP BY 1"""
_ALL_ROWS = "journal AS NOT MATERIALIZED (SELECT * FROM vault.journal_all)"


@dataclass(frozen=True, slots=True)
class Proof:
    """A name, what it promises, and the query whose rows break the promise."""

    name: str
    promise: str
    sql: str


def _with(journal: str, mine: str, taken: str) -> str:
    tables = ", ".join(
        f"{name} AS NOT MATERIALIZED (SELECT x.* FROM vault.{name} x{mine})" for name in _OF_RESIDENTS
    )  # fmt: skip
    voids = (
        "SELECT x.*, r.owner FROM vault.redemption_void x"
        f" JOIN vault.redemption r ON r.b = x.b AND r.id = x.redemption_id{mine and mine.replace('x.', 'r.')}"
    )
    # Accounts without a limit belong to no resident: their sums are judged when everything is.
    part = " AND false" if mine else ""
    folds = (
        f"fold AS NOT MATERIALIZED (SELECT * FROM vault.fold WHERE true{part}), folded AS NOT MATERIALIZED"
        " (SELECT x.* FROM vault.journal_all x, vault.fold_cursor c"
        f" WHERE c.node = 0 AND x.txid < c.folded_to{part})"
    )
    return (
        f"WITH {journal}, {tables}, {folds}, redemption_void AS NOT MATERIALIZED ({voids}), taken AS ({taken}),"
        " day_of AS (SELECT vault.zone() AS zone)"
    )


#: Everything there is.
WHOLE = _with(_ALL_ROWS, "", _TAKEN)


def scope(since: int | None, taken: Mapping[int, int]) -> str:
    """The beginning of every query: all rows, or all rows of residents with a row of transaction `since` or later.
    `taken` is what postings took from each budget so far."""
    known = msgspec.json.encode({str(budget): amount for budget, amount in taken.items()}).decode()
    sum_of = f"SELECT key::bigint AS budget, value::bigint AS taken FROM jsonb_each_text('{known}')"
    if since is None:
        return _with(_ALL_ROWS, "", sum_of)
    touched = f"touched AS MATERIALIZED (SELECT DISTINCT b, owner FROM vault.journal WHERE txid >= {since:d})"
    mine = " JOIN touched k ON k.b = x.b AND k.owner = x.owner"
    journal = f"journal AS NOT MATERIALIZED (SELECT x.* FROM vault.journal_all x{mine})"
    return _with(f"{touched}, {journal}", mine, sum_of)


_POINT_PROOFS: tuple[tuple[str, str, str], ...] = (
    (
        "rows_balance",
        "every journal row balances in every unit, and a refusal moves nothing",
        """
        SELECT owner, id FROM journal WHERE
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
        SELECT * FROM (SELECT
            coalesce(sum(d_avail), 0) + coalesce(sum(d_held), 0) + coalesce(sum(d_peer), 0) AS points,
            coalesce(sum(c_stock), 0) + coalesce(sum(c_out), 0) + coalesce(sum(c_used), 0) + coalesce(sum(c_gone), 0)
              AS coupons,
            coalesce(sum(f_budget), 0) + coalesce(sum(f_reserved), 0) + coalesce(sum(f_payable), 0) AS fen
          FROM journal) x
        WHERE points <> 0 OR coupons <> 0 OR fen <> 0""",
    ),
    (
        "wallet_is_its_entries",
        "every wallet is the sum of its entries",
        """
        SELECT w.owner, w.points_avail, s.avail, w.points_held, s.held, w.seq, s.n FROM wallet w
        LEFT JOIN (SELECT b, owner, coalesce(sum(d_avail), 0) AS avail, coalesce(sum(d_held), 0) AS held, count(*) AS n
                   FROM journal GROUP BY b, owner) s USING (b, owner)
        WHERE (w.points_avail, w.points_held, w.seq)
           <> (coalesce(s.avail, 0), coalesce(s.held, 0), coalesce(s.n, 0))""",
    ),
    (
        "wallet_is_its_lots",
        "every wallet is the sum of its lots, sorted and positive",
        """
        SELECT owner FROM wallet w WHERE points_avail <> (SELECT coalesce(sum(p), 0) FROM unnest(lot_points) p)
          OR cardinality(lot_expiry) <> cardinality(lot_points)
          OR EXISTS (SELECT FROM unnest(lot_points) p WHERE p <= 0)
          OR lot_expiry <> (SELECT coalesce(array_agg(DISTINCT d ORDER BY d), '{}') FROM unnest(lot_expiry) d)""",
    ),
    (
        "lots_are_the_entries",
        "every wallet's points of each day are what its entries put there and took from there",
        """
        SELECT owner, day, sum(points) FROM (
          SELECT b, owner, unnest(lot_expiry) AS day, -unnest(lot_points) AS points FROM wallet
          UNION ALL
          SELECT b, owner, (lot ->> 0)::date, sign * (lot ->> 1)::bigint
          FROM (SELECT b, owner, sign(d_avail)::bigint AS sign, jsonb_array_elements(lots) AS lot
                FROM journal WHERE d_avail <> 0) y) x
        GROUP BY b, owner, day HAVING sum(points) <> 0""",
    ),
    (
        "lots_tell_the_change",
        "the lots of an entry add up to its points, and what a capture spent to what it paid",
        """
        SELECT owner, id FROM journal j WHERE d_avail IS NOT NULL AND (
          abs(d_avail) IS DISTINCT FROM CASE WHEN lots IS NULL THEN 0 WHEN jsonb_array_length(lots) = 1
            THEN (lots -> 0 ->> 1)::bigint
            ELSE (SELECT coalesce(sum((l ->> 1)::bigint), 0) FROM jsonb_array_elements(lots) l) END
          OR op = 10 AND d_peer IS DISTINCT FROM (SELECT sum((l ->> 1)::bigint)
                                                  FROM jsonb_array_elements(detail -> 'spent') l))""",
    ),
    (
        "no_expired_point_was_spent",
        "what was spent, held or exchanged was alive that day, and only what was past its day became breakage",
        """
        SELECT owner, id FROM (SELECT j.*, (j.at AT TIME ZONE day_of.zone)::date AS day FROM journal j, day_of
                               WHERE j.d_avail < 0) x
        WHERE CASE WHEN jsonb_array_length(lots) = 1 THEN ((lots -> 0 ->> 0)::date < day) <> (op = 7)
                   ELSE EXISTS (SELECT FROM jsonb_array_elements(lots) l
                                WHERE ((l ->> 0)::date < day) <> (op = 7)) END""",
    ),
    (
        "no_entry_without_wallet",
        "every entry belongs to a wallet",
        """
        SELECT j.owner, j.id FROM journal j
        WHERE NOT EXISTS (SELECT FROM wallet w WHERE w.b = j.b AND w.owner = j.owner)""",
    ),
    (
        "sequence_has_no_gap",
        "every resident's rows are numbered 1, 2, 3 … and carry the running balance",
        """
        SELECT owner, seq FROM (
          SELECT owner, seq, avail_after, held_after, row_number() OVER o AS n,
            sum(coalesce(d_avail, 0)) OVER o AS avail, sum(coalesce(d_held, 0)) OVER o AS held
          FROM journal WINDOW o AS (PARTITION BY b, owner ORDER BY seq ROWS UNBOUNDED PRECEDING)) x
        WHERE seq <> n OR avail_after <> avail OR held_after <> held""",
    ),
    (
        "held_is_the_open_holds",
        "what a wallet holds is the sum of its open holds",
        """
        SELECT w.owner, w.points_held, h.points FROM wallet w
        FULL JOIN (SELECT b, owner, sum(points) AS points FROM hold GROUP BY b, owner) h USING (b, owner)
        WHERE w.owner IS NULL OR w.points_held <> coalesce(h.points, 0)""",
    ),
    (
        "hold_is_open_or_ended_once",
        "every hold is open as it was booked, or ended by one capture or release that gave out exactly what it held",
        """
        SELECT coalesce(h.owner, o.owner, e.owner), coalesce(h.id, o.id, e.ref)
        FROM (SELECT b, owner, id, d_held, peer, lots FROM journal WHERE op = 9 AND st = 0) h
        FULL JOIN hold o ON o.b = h.b AND o.owner = h.owner AND o.id = h.id
        FULL JOIN (SELECT b, owner, ref, count(*) AS n, sum(d_held) AS held, sum(d_avail + d_peer) AS given
                   FROM journal WHERE op IN (10, 11) AND st = 0 GROUP BY b, owner, ref) e
          ON e.b = h.b AND e.owner = h.owner AND e.ref = h.id
        WHERE h.id IS NULL OR (o.id IS NULL) <> (coalesce(e.n, 0) = 1) OR e.n > 1
          OR (o.points, o.payee, o.lots) IS DISTINCT FROM (h.d_held, h.peer, h.lots) AND o.id IS NOT NULL
          OR e.held <> -h.d_held OR e.given <> h.d_held""",
    ),
    (
        "refunds_are_within_the_spend",
        "what was refunded of a spend is the sum of its refunds, and never more than was spent",
        """
        SELECT coalesce(r.owner, f.owner), coalesce(r.ref, f.ref) FROM refunded r
        FULL JOIN (SELECT b, owner, ref, sum(d_avail) AS done FROM journal WHERE op = 12 AND st = 0
                   GROUP BY b, owner, ref) f ON f.b = r.b AND f.owner = r.owner AND f.ref = r.ref
        LEFT JOIN journal s ON s.b = r.b AND s.owner = r.owner AND s.id = r.ref AND s.op IN (8, 10) AND s.st = 0
        WHERE r.ref IS NULL OR s.id IS NULL OR r.done IS DISTINCT FROM f.done OR r.cap <> s.d_peer
          OR r.done > s.d_peer""",
    ),
    (
        "freeze_is_the_last_order",
        "a wallet is frozen as the last order said, and open without one",
        """
        SELECT w.owner, w.status, w.frozen_until, o.freeze, o.until FROM wallet w
        LEFT JOIN (SELECT DISTINCT ON (b, owner) b, owner, detail ->> 'freeze' AS freeze,
                     (detail ->> 'until')::timestamptz AS until
                   FROM journal WHERE op IN (17, 18) AND st = 0 ORDER BY b, owner, seq DESC) o USING (b, owner)
        WHERE w.status <> coalesce(o.freeze, 'open') OR w.frozen_until IS DISTINCT FROM o.until""",
    ),
    (
        "adjustments_name_two_people",
        "every manual adjustment names two different people, a reason and a document",
        """
        SELECT owner, id FROM journal WHERE op = 13 AND st = 0 AND (
          ((detail ->> 'actor')::bigint <> (detail ->> 'approver')::bigint) IS NOT TRUE
          OR coalesce(detail ->> 'reason', '') = '' OR coalesce(detail ->> 'document', '') = '')""",
    ),
    (
        "budget_is_its_entries",
        "top-ups minus cuts = slots + reserve + what postings took and gave back",
        """
        SELECT g.budget, e.total, g.reserve + s.held AS remaining, t.taken FROM vault.budget g
        CROSS JOIN LATERAL (SELECT coalesce(sum(CASE kind WHEN 'cut' THEN -amount ELSE amount END), 0) AS total
                            FROM vault.budget_entry WHERE budget = g.budget) e
        CROSS JOIN LATERAL (SELECT coalesce(sum(avail), 0) AS held FROM vault.slot WHERE budget = g.budget) s
        LEFT JOIN taken t ON t.budget = g.budget
        WHERE e.total <> g.reserve + s.held + coalesce(t.taken, 0) OR g.reserve < 0
          OR EXISTS (SELECT FROM vault.slot WHERE budget = g.budget AND avail < 0)""",
    ),
    (
        "takes_are_the_legs",
        "what an entry took from budgets is what its legs say",
        """
        SELECT owner, id FROM (
          SELECT j.*, CASE WHEN g.budget < 0 THEN 'counter' ELSE g.unit END AS unit_a,
            (takes -> 0 ->> 2)::bigint AS took_a,
            CASE WHEN h.budget < 0 THEN 'counter' ELSE h.unit END AS unit_b, (takes -> 1 ->> 2)::bigint AS took_b
          FROM journal j LEFT JOIN vault.budget g ON g.budget = (takes -> 0 ->> 0)::bigint
          LEFT JOIN vault.budget h ON h.budget = (takes -> 1 ->> 0)::bigint
          WHERE takes IS NOT NULL OR op = 1 OR c_stock <> 0 OR f_budget <> 0) x
        WHERE jsonb_path_exists(takes, '$[2 to last][0] ? (@ >= 0)')
          OR num_nulls(unit_a, took_a) = 1 OR num_nulls(unit_b, took_b) = 1
          OR CASE unit_a WHEN 'coupons' THEN took_a ELSE 0 END + CASE unit_b WHEN 'coupons' THEN took_b ELSE 0 END
             <> -coalesce(c_stock, 0)
          OR CASE unit_a WHEN 'fen' THEN took_a ELSE 0 END + CASE unit_b WHEN 'fen' THEN took_b ELSE 0 END
             <> -coalesce(f_budget, 0)
          OR CASE unit_a WHEN 'points' THEN took_a ELSE 0 END + CASE unit_b WHEN 'points' THEN took_b ELSE 0 END
             <> CASE WHEN op = 1 THEN -coalesce(d_peer, 0) ELSE 0 END""",
    ),
    (
        "folds_are_the_journal",
        "every folded balance of an account without a limit is the sum of its legs up to where folding has come",
        """
        SELECT kind, account, unit, f.balance, j.amount FROM fold f FULL JOIN (
          SELECT b, kind, account, unit, sum(amount) AS amount FROM (
            SELECT x.b, CASE WHEN op IN (2, 16) THEN 'template' WHEN op IN (8, 10, 12) THEN 'payee'
                             WHEN op = 7 THEN 'breakage' ELSE 'adjustment' END AS kind,
              CASE op WHEN 7 THEN to_char(at AT TIME ZONE day_of.zone, 'YYYYMMDD')::bigint WHEN 13 THEN 0 ELSE peer END
                AS account, 'points' AS unit, d_peer AS amount
            FROM folded x, day_of WHERE op IN (2, 7, 8, 10, 12, 13, 16) AND d_peer <> 0
            UNION ALL
            SELECT b, 'merchant_payable', peer, 'fen', f_payable FROM folded
            WHERE op IN (3, 4) AND f_payable <> 0) legs
          GROUP BY b, kind, account, unit) j USING (b, kind, account, unit)
        WHERE coalesce(f.balance, 0) <> coalesce(j.amount, 0)""",
    ),
    (
        "buckets_are_right",
        "every row lies in its owner's bucket",
        """
        SELECT owner FROM journal WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM wallet WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM coupon WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM hold WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM refunded WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM allowance WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM redemption WHERE b <> (owner & 1023)
        UNION ALL SELECT owner FROM credential WHERE b <> (owner & 1023)""",
    ),
)

PROOFS: tuple[Proof, ...] = tuple(Proof(*parts) for parts in (*_POINT_PROOFS, *COUPON_PROOFS, *COUNTER_PROOFS))
