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

from wallet.cells import Cells
from wallet.lanes import Lanes

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
VAULT_BATCH_LIMIT: Final = Gauge(
    "chengxin_vault_batch_limit", "How many items a call may carry now, at the slowest process.",
    multiprocess_mode="livemin",
)  # fmt: skip
VAULT_BATCH: Final = Histogram(
    "chengxin_vault_batch_items", "Items of one call.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
)
VAULT_WAIT: Final = Histogram(
    "chengxin_vault_wait_seconds",
    "How long the item of a call that waited longest had waited for its lane.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
VAULT_CALL: Final = Histogram(
    "chengxin_vault_call_seconds",
    "How long one call of the vault's posting function took.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
VAULT_TROUBLES: Final = Counter(
    "chengxin_vault_troubles", "Calls that failed: connection_lost, lock_timeout, deadlock, failure.", ("kind",)
)
VAULT_RESENT: Final = Counter("chengxin_vault_resent_items", "Items sent again one by one after their call failed.")
VAULT_REFUSED: Final = Counter("chengxin_vault_refused_items", "Items for which there was no room in the queue.")
VAULT_DROPPED: Final = Counter("chengxin_vault_dropped_items", "Items never sent, as their callers hung up in time.")

_children: dict[tuple[str, str, int], Any] = {}


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    key = (method, route, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = REQUESTS.labels(method, route, str(status))
    child.observe(seconds)


class LaneReport:
    """Reports what a process's lanes have done since it was last asked."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, lanes: Cells | Lanes) -> None:
        """The lanes' figures so far."""
        counts = lanes.counts
        VAULT_CALLS.inc(self._more("calls", counts.calls))
        VAULT_ITEMS.inc(self._more("items", counts.items))
        VAULT_RESENT.inc(self._more("resent", counts.resent))
        VAULT_REFUSED.inc(self._more("refused", counts.refused))
        VAULT_DROPPED.inc(self._more("dropped", lanes.dropped))
        for kind, count in (
            ("connection_lost", counts.connections_lost),
            ("lock_timeout", counts.lock_timeouts),
            ("deadlock", counts.deadlocks),
            ("failure", counts.failures),
        ):
            VAULT_TROUBLES.labels(kind).inc(self._more(kind, count))
        VAULT_WAITING.set(lanes.depth)
        VAULT_BATCH_LIMIT.set(lanes.batch_limit)
        while lanes.calls:
            call = lanes.calls.popleft()
            VAULT_BATCH.observe(call.size)
            VAULT_WAIT.observe(call.waited_s)
            VAULT_CALL.observe(call.took_s)

    def _more(self, name: str, count: int) -> int:
        more = count - self._seen.get(name, 0)
        self._seen[name] = count
        return more


def exposition() -> bytes:
    """All figures of all worker processes as Prometheus reads them."""
    if os.environ.get(FOLDER_VARIABLE):
        registry = CollectorRegistry()
        collect: Any = MultiProcessCollector
        collect(registry)
        return generate_latest(registry)
    return generate_latest(REGISTRY)
