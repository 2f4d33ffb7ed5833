"""Every write of the incentives rooms in the console can be simulated, by one mechanism."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from server.admin_api import ROUTERS

from server.admin_api import audit, dead_letters, ledger, merchants, sessions, wallets  # isort: skip

ELSEWHERE = (sessions, merchants, audit, dead_letters, wallets, ledger)
#: They ask, or hand out what two people allowed, and change nothing that could be shown beforehand.
READS = {
    "/api/admin/v1/campaigns/<campaign_id:int>/dry-run",
    "/api/admin/v1/segments/<segment_id:int>/preview",
    "/api/admin/v1/voucher-exports/<export_id:int>/file",
}
WRITES = [
    route
    for router in ROUTERS
    if router not in [room.router for room in ELSEWHERE]
    for route in router.routes
    if route.method != "GET" and route.path not in READS
]


@pytest.mark.parametrize("route", WRITES, ids=lambda route: f"{route.method} {route.path}")
def test_a_write_takes_simulate_heeds_it_and_says_what_it_would_change(route: Any) -> None:
    assert route.query is not None and "simulate" in route.query.__struct_fields__
    assert "query.simulate" in inspect.getsource(route.handler)
    assert 200 in route.replies, "what is only simulated was not created"
    # A plan of an order says more than its effects do; an import tells of its batch.
    told = [reply.__struct_fields__ for reply in route.replies.values()]
    inner = [msgspec.structs.fields(reply)[0] for reply in route.replies.values()]
    told += [one.type.__struct_fields__ for one in inner if one.name == "batch"]
    assert any({"simulated", "effects"} <= set(fields) for fields in told) or "enough" in told[-1]


def test_there_are_writes_and_what_is_named_a_read_exists() -> None:
    assert len(WRITES) > 40
    paths = {route.path for router in ROUTERS for route in router.routes}
    assert paths >= READS
