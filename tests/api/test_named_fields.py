"""A refusal about one field names it, also where types alone do not say what is wrong."""

from __future__ import annotations

import pytest

from server.sandbox.phone import CounterPhone, ResidentPhone
from tests.support.play import Shown, refused, send
from tests.support.visits import counter, resident, shown

__all__ = ["counter", "resident", "shown"]

REDEEM = "/merchant/redemptions"
NOBODYS = "019a0000-0000-7000-8000-000000000000"


DAYS = ["first_day=0001-01-01", "last_day=9999-12-31", "first_day=2026-01-02&last_day=2026-01-01"]


@pytest.mark.parametrize("days", DAYS)
async def test_days_beyond_the_calendar_and_the_wrong_way_round_are_named(resident: ResidentPhone, days: str) -> None:
    answer = await send(resident, "GET", f"/wallet/entries?{days}")
    refused(answer, 400, "invalid_field", days.rpartition("&")[2].partition("=")[0])
    days = "first_day=2026-01-02&last_day=2026-01-02"
    assert (await send(resident, "GET", f"/wallet/entries?{days}")).status_code == 200


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_instants_beyond_the_calendar_are_named(resident: ResidentPhone, at: str) -> None:
    refused(await send(resident, "GET", "/wallet/balance", params={"at": at}), 400, "invalid_field", "at")


async def test_numbers_beyond_an_id_are_named(resident: ResidentPhone, counter: CounterPhone) -> None:
    for number in (2**63, -(2**63) - 1, 10**40):
        answer = await send(resident, "POST", f"/me/notices/{number}/read")
        refused(answer, 400, "invalid_field", "notice_id")
    answer = await send(resident, "POST", f"/me/notices/{2**63 - 1}/read")
    assert answer.status_code in (204, 404), answer.text


@pytest.mark.parametrize(
    ("results", "field"),
    [({"": "accept"}, "results"), ({"T": "maybe"}, "results.T"), ({"A": "accept", "T": "maybe"}, "results.T"),
     ({"T\0": "accept"}, "results.T\N{REPLACEMENT CHARACTER}"), ({"T": "a\0"}, "results.T")],
)  # fmt: skip
async def test_the_key_of_a_mapping_is_named(resident: ResidentPhone, results: dict[str, str], field: str) -> None:
    answer = await send(resident, "POST", "/me/notice-grants", json={"results": results})
    refused(answer, 400, "invalid_field", field)


async def test_a_text_with_a_nul_is_named_and_one_that_looks_like_it_is_none(counter: CounterPhone) -> None:
    where = f"{REDEEM}/{NOBODYS}/void"
    refused(await send(counter, "POST", where, json={"reason": "a\0b"}), 400, "invalid_field", "reason")
    answer = await send(counter, "POST", where, json={"reason": "a\\u0000b"})
    refused(answer, 404, "redemption_not_found")


async def test_an_id_in_a_body_may_be_upper_case(resident: ResidentPhone, shown: Shown) -> None:
    answers = []
    for text in (shown.coupon_id, shown.coupon_id.upper(), "Z" + shown.coupon_id[1:]):
        answers.append(await send(resident, "POST", "/credentials", json={"subject": {"kind": "coupon", "id": text}}))
    assert [one.status_code for one in answers] == [201, 201, 400], [one.text for one in answers]
    refused(answers[2], 400, "invalid_field", "subject.id")
