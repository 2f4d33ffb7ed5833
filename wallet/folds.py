"""Balances of accounts without a limit: what was folded, and the journal's tail, at one instant.

Postings touch no row of such an account; `Folds.step` adds up what they left behind. A read is exact at any moment,
whether or not anybody folded lately: it is one statement, so fold, cursor and tail are of one snapshot.
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

from wallet.stream import Query

FoldKind = Literal["template", "payee", "breakage", "adjustment", "merchant_payable"]
STEP_ROWS: Final = 20_000


class Folds:
    """Reads for both roles; `step` for the worker's."""

    def __init__(self, query: Query) -> None:
        self._query = query

    async def step(self, limit: int = STEP_ROWS) -> int:
        """Fold the next rows of the journal, at most 100,000; returns how many. Any number may do so at once."""
        return int((await self._query("SELECT vault.fold_next($1) AS n", limit))[0]["n"])

    async def account_balance(self, kind: FoldKind, account: int) -> int:
        """What an account has received minus what it gave back: points, or fen for `merchant_payable`. An account that
        nothing ever touched has 0."""
        return await self._sum(kind, account, account)

    async def breakage(self, first: date, last: date) -> int:
        """Points that expired unused on the city's days `first` to `last`, both included, by the day of booking."""
        return await self._sum("breakage", _number(first), _number(last))

    async def _sum(self, kind: FoldKind, low: int, high: int) -> int:
        return int((await self._query(_SUM, kind, low, high))[0]["balance"])


_SUM: Final = """
SELECT ((SELECT coalesce(sum(f.balance), 0) FROM vault.fold f WHERE f.kind = $1 AND f.account BETWEEN $2 AND $3)
  + (SELECT coalesce(sum(l.amount), 0) FROM vault.fold_leg l
     WHERE l.txid >= (SELECT c.folded_to FROM vault.fold_cursor c WHERE c.node = 0)
       AND l.kind = $1 AND l.account BETWEEN $2 AND $3))::bigint AS balance
"""


def _number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day
