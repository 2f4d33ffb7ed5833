"""The application of this house: every room's routes, served with the house's services. No I/O happens here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic import Sanic

import miniprogram_api
import server.admin_api
import server.public_api
from server.config import Settings
from server.lifecycle import Lifecycle
from server.services import Services, close_services, open_services, release_waiters
from server.web import delays, metrics
from server.web.application import assemble
from server.web.routing import Route


def all_routes() -> list[Route]:
    """Every route of every room, in the order of their tables."""
    routers = [*miniprogram_api.ROUTERS, *server.admin_api.ROUTERS, *server.public_api.ROUTERS]
    return [route for router in routers for route in router.routes]


def create_app(settings: Settings, *, name: str = "chengxin") -> Sanic[Any, Any]:
    """The application for these settings. Raises UnsafeSettings for a production start that is not safe."""
    settings.check_production()
    app = assemble(settings, all_routes(), name=name)
    Lifecycle(open_services, close_services, release_waiters, _lane_reporter(), delays.watch).attach(app)
    return app


def _lane_reporter() -> Callable[[Services], None]:
    report = metrics.LaneReport()

    def take(services: Services) -> None:
        report.take(services.vault.lanes)

    return take
