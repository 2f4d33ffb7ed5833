"""Logs are events with fields, one JSON object a line on standard error; never a name, phone, openid, token or code.

structlog renders what the house says and what libraries say through `logging`. The access log has a way of its own: one
Struct encoded by msgspec, written in batches, because it is on the path of every request. Nothing is kept in context
variables: one connection is one task, and what one request left there the next would find.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

FLUSH_S: Final = 0.1
BATCH_MAX: Final = 512
STDERR: Final = 2
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: str) -> None:
    """Send every log of this process to standard error as JSON; safe to call again."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in ("sanic.root", "sanic.server", "sanic.error", "sanic.access", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    # These speak at INFO of what the access log says better, or of connection parameters.
    for name in ("sanic.server", "sanic.access", "httpx", "httpcore", "tortoise"):
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))


class AccessLine(msgspec.Struct, frozen=True):
    """What is remembered of a request. `route` is the template, so that no id of a person is written."""

    at: datetime
    event: str
    method: str
    route: str
    status: int
    took_us: int
    request_id: str
    caller: str
    client_request_id: str | None = None
    code: str | None = None


class AccessLog:
    """Writes one line per request, a tenth of a second late and many at a time."""

    __slots__ = ("_enabled", "_encode", "_lines", "_scheduled")

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._lines: list[bytes] = []
        self._scheduled = False
        self._encode = msgspec.json.Encoder().encode

    def write(
        self,
        method: str,
        route: str,
        status: int,
        took_us: int,
        request_id: str,
        caller: str,
        client_request_id: str | None = None,
        code: str | None = None,
    ) -> None:
        """Remember one request."""
        if not self._enabled:
            return
        at = datetime.now(UTC)
        line = AccessLine(at, "request", method, route, status, took_us, request_id, caller, client_request_id, code)
        self._lines.append(self._encode(line))
        if len(self._lines) >= BATCH_MAX:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is waiting."""
        self._scheduled = False
        if self._lines:
            lines, self._lines = self._lines, []
            os.write(STDERR, b"\n".join(lines) + b"\n")
