"""How one process opens and closes: services first, requests then; at the end the other way round.

open          services, then the office that handlers share
stop_taking   /readyz says 503, those who only wait for news are let go; requests in flight go on
close         changes under way are drained, then the pools close
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from sanic import Sanic

from server.config import Settings
from server.kit.tasks import end
from server.web import metrics
from server.web.serving import Office

REPORT_EVERY_S: Final = 1.0
_log = structlog.get_logger("server.lifecycle")


class Lifecycle:
    """Opens services before the first request and closes them after the last."""

    def __init__(
        self,
        open_services: Callable[[Settings], Awaitable[Any]],
        close_services: Callable[[Any], Awaitable[None]],
        release_waiters: Callable[[Any], None] = lambda services: None,
        report: Callable[[Any], None] = lambda services: None,
        watch: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._open_services = open_services
        self._close_services = close_services
        self._release_waiters = release_waiters
        self._report = report
        self._watch = watch
        self._reporting: list[asyncio.Task[None]] = []

    def attach(self, app: Sanic[Any, Any]) -> None:
        """Register with an application."""
        app.register_listener(self.open, "before_server_start")
        app.register_listener(self.stop_taking, "before_server_stop")
        app.register_listener(self.close, "after_server_stop")

    async def open(self, app: Sanic[Any, Any]) -> None:
        """Open the services of this process. Raises when the database cannot be reached."""
        services = await self._open_services(app.ctx.settings)
        app.ctx.office = Office(app.ctx.settings, services)
        self._reporting.append(asyncio.create_task(self._report_for_ever(services)))
        if self._watch is not None:
            self._reporting.append(asyncio.ensure_future(self._watch()))
        metrics.READY.set(1)

    async def stop_taking(self, app: Sanic[Any, Any]) -> None:
        """Tell gateways to send no more."""
        office: Office | None = getattr(app.ctx, "office", None)
        if office is not None:
            office.readiness.stopping = True
            metrics.READY.set(0)
            self._release_waiters(office.services)

    async def close(self, app: Sanic[Any, Any]) -> None:
        """Let changes under way end, then close what they use."""
        office: Office | None = getattr(app.ctx, "office", None)
        if office is None:
            return
        await end(self._reporting)
        late = await office.completion.drain(app.ctx.settings.drain_s)
        if late:
            _log.error("changes_cut_off", count=late)
        office.access.flush()
        await self._close_services(office.services)
        del app.ctx.office

    async def _report_for_ever(self, services: Any) -> None:
        while True:
            self._report(services)
            await asyncio.sleep(REPORT_EVERY_S)
