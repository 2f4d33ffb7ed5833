"""The daily heads of the ledger over HTTP: anybody may read and keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from server.app import create_app
from server.web import openapi
from tests.support.databases import Database
from tests.support.sealing import SealedLedger, open_sealed
from tests.support.serving import serving, settings

HEADS = "/api/public/v1/ledger/heads"


@pytest_asyncio.fixture(scope="module")
async def city(database: Database) -> AsyncIterator[SealedLedger]:
    """Three days are over; the fourth has begun."""
    async with open_sealed(database) as made:
        for points, days in ((5, 1), (7, 2)):
            await made.ledger.resident(points=points)
            await made.seal_all()
            await made.ledger.move_clock(days=days)
            await made.heads(days)
        await made.ledger.resident(points=11)
        await made.seal_all()
        yield made


@pytest.fixture(scope="module")
def last(city: SealedLedger) -> date:
    """The last day that is over."""
    return city.ledger.today() - timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def client(city: SealedLedger) -> AsyncIterator[httpx.AsyncClient]:
    chosen = settings(database_url=city.ledger.database.app, address_per_minute=100_000)
    async with serving(create_app(chosen, name=f"public_{uuid4().hex[:8]}")) as made:
        yield made


async def test_anybody_reads_the_heads_of_the_days_that_are_over(client: httpx.AsyncClient, last: date) -> None:
    reply = await client.get(HEADS)
    assert (reply.status_code, reply.headers["cache-control"]) == (200, "public, max-age=300")
    items = reply.json()["items"]
    assert [item["day"] for item in items] == [str(last - timedelta(days=days)) for days in (2, 1, 0)]
    assert [(item["n"], item["rows"], item["totals"]["d_avail"]) for item in items] == [
        ("1", 1, 5), ("2", 2, 12), ("2", 2, 12),
    ]  # fmt: skip
    assert all(sum(item["totals"][leg] for leg in ("d_avail", "d_held", "d_peer")) == 0 for item in items)


async def test_a_head_is_the_root_of_its_seal_and_may_be_kept_for_ever(
    client: httpx.AsyncClient, city: SealedLedger, last: date
) -> None:
    reply = await client.get(f"{HEADS}/{last}")
    assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    head = reply.json()
    roots = {
        str(row["n"]): row["root"].hex() for row in await city.ledger.owner.fetch("SELECT n, root FROM vault.seal")
    }
    assert head["root"] == roots[head["n"]]
    assert (await city.prove(kept=[head])).found == []


async def test_a_range_is_the_days_asked_for(client: httpx.AsyncClient, last: date) -> None:
    day = last - timedelta(days=1)
    items = (await client.get(HEADS, params={"from": str(day), "to": str(day)})).json()["items"]
    assert [item["day"] for item in items] == [str(day)]
    assert (await client.get(HEADS, params={"from": str(last + timedelta(days=1))})).json()["items"] == []
    assert (await client.get(HEADS, params={"to": "2000-01-01"})).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2020-01-01", "to": "2026-01-01"}, {"from": "yesterday"},
     {"from": "2026-02-30"}, {"day": "2026-01-01"}, {"from": "0001-01-01"}],
)  # fmt: skip
async def test_a_range_that_is_none_or_too_long_is_refused(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    reply = await client.get(HEADS, params=query)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["field"] in ("from", "to", "day")


async def test_days_at_the_ends_of_the_calendar_are_an_empty_answer_or_named(client: httpx.AsyncClient) -> None:
    for query in ({"to": "0002-01-01"}, {"from": "9998-12-31"}):
        assert (await client.get(HEADS, params=query)).json() == {"items": []}
    for name, day in (("to", "0001-01-01"), ("to", "9999-12-31"), ("from", "9999-12-31")):
        answer = await client.get(HEADS, params={name: day})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, name), answer.text


@pytest.mark.parametrize("day", ["2026-02-30", "today", "2026-1-1", "20260101", "２０２６-01-01", "2026-01-01T00"])
async def test_what_is_no_day_is_refused(client: httpx.AsyncClient, day: str) -> None:
    reply = await client.get(f"{HEADS}/{day}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_field"), reply.text


async def test_a_day_that_is_not_over_has_no_head(client: httpx.AsyncClient, last: date) -> None:
    for day in (last + timedelta(days=1), last - timedelta(days=30)):
        reply = await client.get(f"{HEADS}/{day}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "head_not_found")


def test_the_contract_names_both_routes_and_no_public_route_asks_for_a_token() -> None:
    from server.public_api import ROUTERS

    document = openapi.document([route for router in ROUTERS for route in router.routes])
    assert {path for path in document["paths"] if "/ledger/" in path} == {HEADS, HEADS + "/{day}"}
    operation = document["paths"][HEADS]["get"]
    assert all(one["security"] == [] for methods in document["paths"].values() for one in methods.values())
    assert {one["name"] for one in operation["parameters"]} == {"from", "to"}
