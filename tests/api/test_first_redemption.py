"""The main job over HTTP: earn, claim, show, verify, redeem, exactly once."""

from __future__ import annotations

import time

from server.sandbox.phone import read_picture
from tests.support.town import Town
from wallet.audit import prove

NOODLES, STORE = "老街面馆十元券", "老街面馆（示例）北大街店"


async def test_a_resident_earns_claims_shows_and_a_merchant_redeems_exactly_once(town: Town) -> None:
    resident, counter = await town.resident(), await town.counter(STORE)
    coupon = await resident.claim(town.templates[NOODLES])
    assert coupon["points_after"] == 60
    (handle,) = await resident.show(coupon["id"])
    scanned = read_picture(await resident.picture(handle.credential_id))
    assert scanned[:12] == handle.code_at(time.time())[:12]
    found = await counter.verify(scanned)
    assert found["result"] == "usable" and found["benefit"]["title"] == NOODLES
    receipt = await counter.redeem(found["ticket"], 2_000)
    assert (receipt["discount_fen"], receipt["sponsor_fen"]) == (1_000, 1_000)
    assert await counter.redeem(found["ticket"], 2_000) == receipt
    assert (await counter.verify(scanned))["result"] == "not_valid"
    assert (await resident.call("GET", f"/coupons/{coupon['id']}"))["state"] == "redeemed"
    broken = [finding for finding in await prove(town.database.worker) if finding.broken]
    assert broken == []
