"""Which facts campaigns ask for, and how far back they look: what nobody asks for is not told, what nobody can look at
any more is not kept.

    trigger             a version's own kind, while it runs
    condition, tiers    other facts within a time, from the approval on: they are the past of what is judged later
    hold-out            what the groups are compared by, until the last of them has had his days
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from server.incentives.experiments.hold_out import MAX_DAYS, HoldOut
from server.incentives.judging import decoded
from server.incentives.rules import Rule, needs
from server.incentives.rules.needs import kind_of
from server.kit.clock import Clock
from server.kit.db import fetch

#: How old an answer may be.
REMEMBERED_S: Final = 2.0

# A late fact is judged by the version that was live when it occurred, so superseded ones are among them.
_VERSIONS = """
SELECT v.rule, v.hold_out, v.starts_at, v.ends_at, coalesce(v.superseded_at, c.ended_at) AS over_at,
  c.status = 'paused' AS paused,
  coalesce((SELECT min(o.starts_at) FROM campaign_version o WHERE o.campaign_id = v.campaign_id
            AND o.live_at IS NOT NULL), v.starts_at) AS began_at
FROM campaign_version v JOIN campaign c ON c.id = v.campaign_id
WHERE v.status IN ('approved', 'live', 'superseded') AND {which}
"""
_ASKING: Final = _VERSIONS.format(
    which="(v.superseded_at IS NULL AND c.ended_at IS NULL"
    " OR v.hold_out IS NOT NULL AND coalesce(v.superseded_at, c.ended_at) > $1)"
)
_JUDGING: Final = _VERSIONS.format(which="(c.ended_at IS NULL OR c.ended_at >= $1)")


@dataclass(frozen=True, slots=True)
class Asking:
    """An approved version. `over_at`: since when it judges nothing new; `began_at`: of its campaign."""

    rule: Rule
    hold_out: HoldOut | None
    starts_at: datetime
    ends_at: datetime
    began_at: datetime
    over_at: datetime | None = None
    paused: bool = False

    def asks(self, kind: str, now: datetime) -> bool:
        """Whether a fact of this kind that happens now may matter to it."""
        if self.over_at is None and any(need.fact == kind for need in needs(self.rule).history):
            return True
        runs = self.over_at is None and not self.paused and self.starts_at <= now < self.ends_at
        if runs and kind_of(self.rule) == kind:
            return True
        if self.hold_out is None or self.hold_out.outcome != kind or now < self.starts_at:
            return False
        last = min(self.ends_at, self.over_at or self.ends_at)
        return now < last + timedelta(days=self.hold_out.days)

    def looks_from(self, kind: str, border: datetime, zone: ZoneInfo) -> datetime | None:
        """From when on it may look at facts of this kind when it judges any fact of the border or later; None: at all
        of them. At the border, when it does not look behind it."""
        since = border
        for need in needs(self.rule).history:
            if need.fact == kind:
                opens, _ = need.window(max(border, self.starts_at), self.began_at, zone)
                if opens is None:
                    return None
                since = min(since, opens)
        return min(since, self.began_at) if self.hold_out is not None and self.hold_out.outcome == kind else since


def looked_at_from(kind: str, versions: Iterable[Asking], border: datetime, zone: ZoneInfo) -> datetime | None:
    """The same for all of these versions."""
    opens = [version.looks_from(kind, border, zone) for version in versions]
    return None if None in opens else min([border, *(one for one in opens if one is not None)])


async def judging_since(border: datetime) -> list[Asking]:
    """The versions by which a fact of the border or later may still be judged: of every campaign that was not over
    by then."""
    return [_asking(row) for row in await fetch(_JUDGING, border)]


class AskedFacts:
    """Knows which kinds live campaigns ask for; an answer is at most two seconds old."""

    def __init__(self, *, clock: Clock, remembered_s: float = REMEMBERED_S) -> None:
        self._clock, self._remembered_s = clock, remembered_s
        self._answers: dict[str, tuple[float, bool]] = {}
        self._reading = asyncio.Lock()

    async def asks(self, kind: str) -> bool:
        """Whether any live campaign asks for facts of this kind now."""
        async with self._reading:
            read_at, answer = self._answers.get(kind, (-float("inf"), False))
            if time.monotonic() - read_at >= self._remembered_s:
                now = self._clock.now()
                rows = await fetch(_ASKING, now - timedelta(days=MAX_DAYS))
                answer = any(_asking(row).asks(kind, now) for row in rows)
                self._answers[kind] = time.monotonic(), answer
        return answer


def _asking(row: dict[str, Any]) -> Asking:
    hold_out = decoded(row["hold_out"])
    return Asking(
        msgspec.convert(decoded(row["rule"]), Rule), None if hold_out is None else msgspec.convert(hold_out, HoldOut),
        row["starts_at"], row["ends_at"], row["began_at"], row["over_at"], row["paused"],
    )  # fmt: skip
