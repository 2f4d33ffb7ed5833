"""An application served on a real socket in the test's own process, started and stopped as production does it."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from sanic import Sanic

from server.config import Settings
from server.lifecycle import Lifecycle
from server.supervisor import bind
from server.web.application import assemble
from server.web.routing import Route
from server.web.running import running
from tests.support.contract import Contract

Sanic.test_mode = True
_names = itertools.count(1)


def key(number: int) -> str:
    """A base64 key of 32 bytes, told apart by `number`."""
    return base64.b64encode(bytes([number]) * 32).decode()


def settings(**changes: Any) -> Settings:
    """Settings of a sandbox whose database is named by the test."""
    values: dict[str, Any] = {
        "environment": "sandbox",
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "token_keys": f"k1:{key(1)}",
        "data_keys": f"1:{key(2)}",
        "index_key": key(3),
        "credential_key": key(4),
        "ticket_keys": f"1:{key(5)}",
        "job_key": key(6),
        "log_level": "error",
        "drain_s": 3,
    }
    return Settings(**(values | changes))


@asynccontextmanager
async def serving(app: Sanic[Any, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running application, whose refusals must be those of the contract."""
    listener = bind("127.0.0.1", 0)
    listener.setblocking(False)
    port = listener.getsockname()[1]
    contract, base_url = Contract(), f"http://127.0.0.1:{port}"
    hooks = {"response": [contract.keep]}
    async with running(app, listener), httpx.AsyncClient(base_url=base_url, timeout=30, event_hooks=hooks) as client:
        yield client
        assert contract.surprises == set()


def application(chosen: Settings, routes: Sequence[Route], services: Any) -> Sanic[Any, Any]:
    """An application of these routes over services that are already open."""

    async def open_services(_: Settings) -> Any:
        return services

    async def close_services(_: Any) -> None:
        return None

    app = assemble(chosen, routes, name=f"test_{next(_names)}")
    Lifecycle(open_services, close_services).attach(app)
    return app
