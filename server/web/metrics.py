"""Figures for Prometheus, right with several worker processes: each writes files that whoever is asked adds up.

Labels are the route's template, the method and the status, so their number stays small and no person's id is in them.
"""

from __future__ import annotations

import os
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

REQUESTS: Final = Histogram(
    "chengxin_request_seconds",
    "How long requests took, by route template, method and status.",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
READY: Final = Gauge(
    "chengxin_ready_workers",
    "Worker processes that are taking requests.",
    multiprocess_mode="livesum",
)

VAULT_CALLS: Final = Counter("chengxin_vault_calls", "Calls of the vault's posting function.")
VAULT_ITEMS: Final = Counter("chengxin_vault_items", "Postings and scans sent in these calls.")
VAULT_WAITING: Final = Gauge(
    "chengxin_vault_waiting", "Postings and scans that wait for a lane now.", multiprocess_mode="livesum"
)

_children: dict[tuple[str, str, int], Any] = {}


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    key = (method, route, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = REQUESTS.labels(method, route, str(status))
    child.observe(seconds)


class LaneReport:
    """Counts what a process's lanes have sent since it was last asked."""

    def __init__(self) -> None:
        self._calls = self._items = 0

    def take(self, *, calls: int, items: int, waiting: int) -> None:
        """`calls` and `items` so far, `waiting` now."""
        VAULT_CALLS.inc(calls - self._calls)
        VAULT_ITEMS.inc(items - self._items)
        VAULT_WAITING.set(waiting)
        self._calls, self._items = calls, items


def exposition() -> bytes:
    """All figures of all worker processes as Prometheus reads them."""
    if os.environ.get(FOLDER_VARIABLE):
        registry = CollectorRegistry()
        collect: Any = MultiProcessCollector
        collect(registry)
        return generate_latest(registry)
    return generate_latest(REGISTRY)
