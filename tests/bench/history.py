"""Ten months of a city's life: each resident earned and spent points twice a month, put in place set by set.

What is written is what the vault's functions would have written, so that check-ledger holds: month m earns 20 points
that live 24 months and spends 10 of the soonest. Rows lie in the order of their time, as they would have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.databases import Database, connected

FIRST_RESIDENT = 5 << 40
BUDGET = 5 << 42
MONTHS, PER_MONTH, EARNED, SPENT = 10, 2, 20, 10
PAYEE = 77
AT_ONCE = 2

TOP_UP = (
    "SELECT vault.create_budget($1, 'points', 1::smallint)",
    "SELECT vault.put_budget_entry($1, gen_random_uuid(), 'topup', $2, 1, 2, 'bench')",
)
#: The first day of month m of the history, m counted from 0.
FIRST_DAY = f"(date_trunc('month', vault.today()) - make_interval(months => {MONTHS} - %s))::date"
MONTHS_BEFORE = f"SELECT vault.ensure_partitions(3, {FIRST_DAY % 0})"
#: The wallets after all months: what was earned first is spent.
WALLETS = f"""
  INSERT INTO vault.wallet (b, owner, seq, points_avail, lot_expiry, lot_points)
  SELECT n & 1023, n, {MONTHS * PER_MONTH}, {MONTHS * (EARNED - SPENT)}, l.days, l.points
  FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n,
    (SELECT array_agg(vault.lot_day({FIRST_DAY % "m"}, 24) ORDER BY m) AS days,
       array_agg({EARNED}::bigint ORDER BY m) AS points
     FROM generate_series({MONTHS * SPENT // EARNED}, {MONTHS - 1}) m) l"""
#: Month $3 of everybody, in the order of time. r is a number of the row that looks random: it gives time and id.
MONTH = f"""
  INSERT INTO vault.journal (b, owner, id, seq, op, st, d_avail, d_held, d_peer, peer, avail_after, held_after,
    terms, takes, lots, detail, hash, at)
  SELECT x.n & 1023, x.n,
    (lpad(to_hex((extract(epoch FROM x.at) * 1000)::bigint), 12, '0') || CASE x.op WHEN 1 THEN '8' ELSE '7' END
      || substr(x.r, 1, 3) || 'a' || substr(x.r, 4, 15))::uuid,
    {PER_MONTH} * $3::integer + x.place, x.op, 0, x.points, 0, -x.points,
    CASE x.op WHEN 1 THEN $4::bigint ELSE {PAYEE} END,
    {EARNED - SPENT} * $3::integer + CASE x.op WHEN 1 THEN {EARNED} ELSE {EARNED - SPENT} END, 0,
    CASE x.op WHEN 1 THEN $4::bigint END,
    CASE x.op WHEN 1 THEN jsonb_build_array(jsonb_build_array($4::bigint, 0, {EARNED})) END,
    jsonb_build_array(jsonb_build_array(CASE x.op WHEN 1 THEN m.earned ELSE m.spent END, abs(x.points))),
    CASE x.op WHEN 1 THEN jsonb_build_object('points', {EARNED}, 'expires_on', m.earned, 'earned_on', m.first)
      ELSE jsonb_build_object('points', {SPENT}, 'payee', {PAYEE}, 'memo', '') END,
    decode(x.r || x.r, 'hex'), x.at
  FROM (SELECT {FIRST_DAY % "$3::integer"} AS first, vault.lot_day({FIRST_DAY % "$3::integer"}, 24) AS earned,
          vault.lot_day({FIRST_DAY % f"$3::integer * {SPENT} / {EARNED}"}, 24) AS spent) m,
    LATERAL (
      SELECT n, op, place, points, md5(n || ':' || op || ':' || m.first) AS r,
        m.first::timestamp AT TIME ZONE 'UTC' + interval '1 day' + (place - 1) * interval '13 days'
          + (hashint8(n + place) & 1048575) * interval '1 second' AS at
      FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n,
        (VALUES (1::smallint, 1, {EARNED}::bigint), (8::smallint, 2, -{SPENT}::bigint)) o (op, place, points)
      ORDER BY at) x"""


async def lay_in_history(database: Database, residents: int, told: Callable[[int], None]) -> None:
    """The wallets and 20 journal rows of each of so many residents."""
    total = residents * MONTHS * EARNED
    async with connected(database.owner) as connection:
        await connection.execute(MONTHS_BEFORE)
        await connection.execute(TOP_UP[0], BUDGET)
        # Half of a top-up is leased to the one slot.
        await connection.execute(TOP_UP[1], BUDGET, 4 * total)
        await connection.execute("UPDATE vault.slot SET avail = avail - $2 WHERE budget = $1", BUDGET, total)
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(WALLETS, FIRST_RESIDENT, residents)
    months = iter(range(MONTHS))

    async def load() -> None:
        async with connected(database.owner) as connection:
            await connection.execute("SET statement_timeout = 0; SET synchronous_commit = off; SET work_mem = '512MB'")
            for month in months:
                await connection.execute(MONTH, FIRST_RESIDENT, residents, month, BUDGET)
                told(month + 1)

    await asyncio.gather(*(load() for _ in range(AT_ONCE)))
