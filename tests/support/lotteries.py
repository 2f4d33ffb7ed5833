"""Published files made by hand: an announcement, entries, a secret, and what follows from them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from server.incentives.lottery import draw
from server.incentives.lottery.published import (
    Announcement,
    DrawLine,
    EndLine,
    ListLine,
    Prize,
    WinnerLine,
    code_of,
    entry_line,
    line_of,
)

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


@dataclass
class Draw:
    """A lottery from beginning to end. Whoever changes a part gets the file that follows from it."""

    entries: dict[str, int]
    prizes: list[tuple[str, int]] = field(default_factory=lambda: [("一等奖", 1), ("二等奖", 3)])
    secret: bytes = b"s" * 32
    beacon: str | None = None
    max_tickets: int = 5

    @classmethod
    def of(cls, people: int, seed: int = 1, **changes: object) -> Draw:
        chance = random.Random(seed)
        entries = {code_of(chance.randbytes(32)): chance.randint(1, 5) for _ in range(people)}
        return cls(entries, secret=chance.randbytes(32), **changes)  # type: ignore[arg-type]

    @property
    def announcement(self) -> Announcement:
        return Announcement(
            format="chengxin-lottery/1", id="7", title="新年抽奖", rules="每人限报名一次。", opens_at=AT, closes_at=AT,
            draw_at=AT, max_tickets=self.max_tickets,
            prizes=[Prize(rank, name, "3", count) for rank, (name, count) in enumerate(self.prizes, 1)],
            beacon=None if self.beacon is None else "福彩3D", commitment=draw.commitment_of(self.secret).hex(),
            published_at=AT,
        )  # fmt: skip

    def head(self) -> list[bytes]:
        return [line_of(self.announcement)] + [entry_line(code, self.entries[code]) for code in sorted(self.entries)]

    @property
    def digest(self) -> bytes:
        first, *entries = self.head()
        return draw.next_link(draw.first_link(first), entries)

    def winners(self) -> list[WinnerLine]:
        scores = draw.Scores(draw.seed_of(self.secret, self.digest, self.beacon or ""))
        counts = self.announcement.counts()
        best = draw.lowest((scores.best(*entry) for entry in self.entries.items()), sum(count for _, count in counts))
        won = zip(draw.places(counts), best, strict=False)
        return [WinnerLine(rank, place, code, ticket) for (rank, place), (_, code, ticket) in won]

    def lines(self) -> list[bytes]:
        winners = self.winners()
        return [
            *self.head(),
            line_of(ListLine(len(self.entries), sum(self.entries.values()), self.digest.hex())),
            line_of(DrawLine(self.secret.hex(), self.beacon)),
            *(line_of(one) for one in winners),
            line_of(EndLine(len(winners))),
        ]

    def content(self) -> bytes:
        return b"".join(line + b"\n" for line in self.lines())

    def write(self, path: Path) -> Path:
        path.write_bytes(self.content())
        return path
