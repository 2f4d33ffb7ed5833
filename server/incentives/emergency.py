"""The kill switch: everything that runs stands still at once. One person is enough; going on is one by one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal

from tortoise.backends.base.client import BaseDBAsyncClient

from server.incentives.changes import Effects
from server.incentives.commands import Signed
from server.incentives.course import Course
from server.incentives.simulation import write
from server.kit import audit
from server.kit.clock import Clock
from server.kit.errors import InvalidField
from server.kit.ids import uuid7

What = Literal["all", "campaigns", "templates"]
AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was paused. `settling`: of how many the ledger does not know yet; the worker tells it within seconds."""

    campaigns: list[int]
    templates: list[int]
    settling: int
    effects: Effects | None


class KillSwitch:
    """Pauses campaigns and templates and closes their budgets in the vault."""

    def __init__(self, *, campaigns: Course[Any, Any], templates: Course[Any, Any], clock: Clock) -> None:
        self._courses = {"campaigns": campaigns, "templates": templates}
        self._clock = clock

    async def pull(self, what: What, reason: str, signed: Signed) -> Stopped:
        """Pause all that runs or is about to, in one transaction, and close its budgets. What was given stays."""
        if not reason.strip() or len(reason) > 200:
            raise InvalidField(field="reason")
        chosen = list(self._courses) if what == "all" else [what]

        async def act(tx: BaseDBAsyncClient) -> dict[str, list[Any]]:
            stopped: dict[str, list[Any]] = {"campaigns": [], "templates": []}
            for name in chosen:
                stopped[name] = await self._courses[name].kill_all(tx, signed)
            ids = {name: [str(row.id) for row in rows] for name, rows in stopped.items()}
            await audit.record(
                tx, actor=signed.actor, action="kill_switch.pulled", object_kind="kill_switch",
                object_id=str(uuid7(self._clock.now())), before=None, after={"kind": what, "reason": reason, **ids},
                at=self._clock.now(), request_id=signed.request_id,
            )  # fmt: skip
            return stopped

        stopped, effects = await write(signed, act)
        settling = 0 if signed.simulate else await self._close(stopped)
        ids = {name: [row.id for row in rows] for name, rows in stopped.items()}
        return Stopped(ids["campaigns"], ids["templates"], settling, effects)

    async def _close(self, stopped: dict[str, list[Any]]) -> int:
        room = asyncio.Semaphore(AT_ONCE)

        async def tell(name: str, row: Any) -> bool:
            async with room:
                return await self._courses[name].tell_stopped(row)

        told = await asyncio.gather(*(tell(name, row) for name, rows in stopped.items() for row in rows))
        return told.count(False)
