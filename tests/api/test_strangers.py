"""What opens nothing: tokens that are forged, expired or of another kind, and what belongs to others."""

from __future__ import annotations

import base64
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest

from server.sandbox.phone import CounterPhone, ResidentPhone, client_id
from tests.support.play import (
    EVERYWHERE,
    GYM_STORE,
    NOODLES,
    Console,
    Shown,
    refused,
    send,
)
from tests.support.town import Town
from tests.support.visits import books, counter, resident, shown

__all__ = ["books", "counter", "resident", "shown"]


VERIFY, REDEEM = "/merchant/verifications", "/merchant/redemptions"


NOBODYS = "019a0000-0000-7000-8000-000000000000"


def forged(town: Town, genuine: str, *, key: bytes | None = None, kid: str | None = None, **changes: Any) -> str:
    """A token with the claims of a genuine one, changed, and signed by the house's key unless told otherwise."""
    first, secret = next(iter(town.settings.signing_keys.items()))
    claims = {**jwt.decode(genuine, options={"verify_signature": False}), **changes}
    return jwt.encode(claims, key or secret, algorithm="HS256", headers={"kid": kid or first})


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_expired_and_forged_tokens_open_nothing(
    town: Town, resident: ResidentPhone, counter: CounterPhone
) -> None:
    now, secret = int(time.time()), next(iter(town.settings.signing_keys.values()))
    for phone, path in ((resident, "/wallet"), (counter, REDEEM)):
        genuine = phone.headers["Authorization"].removeprefix("Bearer ")
        header, payload, signature = genuine.split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"sandbox1"}').decode().rstrip("=")
        claims = jwt.decode(genuine, options={"verify_signature": False})
        tokens = {
            "token_expired": [forged(town, genuine, iat=now - 700, exp=now - 100)],
            "token_invalid": [
                f"{none}.{payload}.",
                f"{none}.{payload}.{signature}",
                forged(town, genuine, key=b"k" * 32),
                forged(town, genuine, kid="another"),
                forged(town, genuine, iss="somebody"),
                forged(town, genuine, exp="soon"),
                jwt.encode(claims, secret, algorithm="HS384", headers={"kid": "sandbox1"}),
                f"{header}.{payload}.{signature[:-4]}AAAA",
                "x", "x.y.z", "令牌", "a" * 5_000,
            ],
            "session_revoked": [
                forged(town, genuine, sid=str(uuid4())),
                forged(town, genuine, sid="nonsense"),
                forged(town, genuine, sub="1"),
            ],
        }  # fmt: skip
        for code, several in tokens.items():
            for token in several:
                value = f"Bearer {token}".encode()
                answer = await town.http.get(f"/api/mp/v1{path}", headers={"Authorization": value})
                refused(answer, 401, code)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        refused(await town.http.get(f"/api/mp/v1{path}"), 401, "token_missing")
        wrong_scheme = await town.http.get(f"/api/mp/v1{path}", headers={"Authorization": f"Basic {genuine}"})
        refused(wrong_scheme, 401, "token_invalid")
        for audience in ("admin", "merchant", "resident", "terminal"):
            if audience == claims["aud"]:
                continue
            turned = {"Authorization": f"Bearer {forged(town, genuine, aud=audience)}"}
            answer = await town.http.get(f"/api/mp/v1{path}", headers=turned)
            assert (answer.status_code in (401, 403), answer.status_code < 500) == (True, True), answer.text


async def test_a_token_of_one_kind_does_not_open_routes_of_another(
    town: Town, console: Console, resident: ResidentPhone, counter: CounterPhone
) -> None:
    refused(await send(resident, "POST", VERIFY, json={"code": "1" * 20}), 403, "forbidden")
    refused(await send(counter, "GET", "/wallet"), 403, "forbidden")
    for phone in (resident, counter):
        refused(await town.http.get("/api/admin/v1/coupon-templates", headers=phone.headers), 403, "forbidden")
    admin = {"Authorization": f"Bearer {await console.token('editor')}"}
    refused(await town.http.get("/api/mp/v1/wallet", headers=admin), 403, "forbidden")
    refused(
        await town.http.post("/api/admin/v1/merchants/1/suspend", json={"reason": "x"}, headers=admin), 403, "forbidden"
    )
    invitation = {"role": "cashier", "display_name": "x", "store_id": town.stores[GYM_STORE]}
    refused(await send(counter, "POST", "/merchant/staff/invitations", json=invitation), 403, "forbidden")
    auditor = await town.counter(GYM_STORE, "auditor")
    refused(await send(auditor, "POST", REDEEM, json={"ticket": "x"}), 403, "forbidden")


async def test_somebody_without_a_real_name_has_no_wallet(town: Town) -> None:
    phone = ResidentPhone(town.http)
    _, _, openid = await town.person()
    await phone.log_in(await town.control.login_code(openid))
    for method, path in (("GET", "/wallet"), ("GET", "/coupons"), ("GET", "/events"), ("POST", "/coupons")):
        refused(await send(phone, method, path), 403, "binding_required")


async def test_the_coupons_and_codes_of_others_are_not_found(town: Town, shown: Shown) -> None:
    stranger = await town.resident()
    refused(await send(stranger, "GET", f"/coupons/{shown.coupon_id}"), 404, "coupon_not_found")
    subject = {"subject": {"kind": "coupon", "id": shown.coupon_id}}
    answer = await send(stranger, "POST", "/credentials", json=subject)
    nobodys = await send(stranger, "POST", "/credentials", json={"subject": {"kind": "coupon", "id": NOBODYS}})
    assert 400 <= answer.status_code < 500, answer.text
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        nobodys.status_code,
        nobodys.json()["error"]["code"],
    )
    path = f"/credentials/{shown.handle.credential_id}"
    refused(await send(stranger, "POST", f"{path}/picture", json={"format": "png"}), 404, "credential_not_found")
    assert await stranger.call("POST", f"{path}/burn", {"reason": "left"}) == {"burnt": False}
    assert (await shown.resident.picture(shown.handle.credential_id)).startswith(b"\x89PNG"), "it was not burnt"


async def test_a_key_of_another_or_for_another_body_moves_nothing(town: Town, resident: ResidentPhone) -> None:
    other, key = await town.resident(), {"Idempotency-Key": str(client_id())}
    first = await send(resident, "POST", "/coupons", json={"template_id": town.templates[EVERYWHERE]}, headers=key)
    assert first.status_code == 201, first.text
    changed = await send(resident, "POST", "/coupons", json={"template_id": town.templates[NOODLES]}, headers=key)
    refused(changed, 422, "idempotency_mismatch")
    theirs = await send(other, "POST", "/coupons", json={"template_id": town.templates[EVERYWHERE]}, headers=key)
    assert theirs.status_code in (201, 409, 422), theirs.text
    assert "Idempotency-Replayed" not in theirs.headers
    assert (await resident.call("GET", f"/coupons/{first.json()['id']}"))["state"] == "issued"
