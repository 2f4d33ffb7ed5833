"""The phones of the sandbox, a resident's and a shop assistant's: they speak to the house over real HTTP.

They are the reference for other clients: which routes, in which order, with which ids; and how a phone turns a handle
and a seed into the 20 digits by itself (`code_at`).
"""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import zxingcpp
from PIL import Image

from wallet.credentials import code_of

EARN_WITHIN_S = 60


class Refusal(RuntimeError):
    """The house refused; `status`, `code` and `body` say how."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        error = body.get("error", {})
        super().__init__(f"{status} {error.get('code')}: {error.get('message')}")
        self.status, self.code, self.body = status, error.get("code"), body


@dataclass(frozen=True, slots=True)
class Handle:
    """What `POST /credentials` gave: enough to show codes without a network until it expires."""

    credential_id: str
    handle: int
    seed: bytes
    prefix: str
    clock_offset_s: float

    def code_at(self, unix_s: float) -> str:
        """The 20 digits to show when the phone's own clock says `unix_s`."""
        return code_of(self.prefix, self.handle, self.seed, unix_s + self.clock_offset_s)


class Phone:
    """One session over one HTTP connection pool."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.headers: dict[str, str] = {}
        self.clock_offset_s = 0.0

    def unix(self) -> float:
        """Seconds since the epoch by the house's clock, as the last log-in told it."""
        return time.time() + self.clock_offset_s

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The decoded answer. Raises `Refusal`."""
        answer = await self.http.request(method, f"/api/mp/v1{path}", json=body, headers={**self.headers, **headers})
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise Refusal(answer.status_code, answer.json())
        return answer.json() if answer.content else None

    def _keep(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}
        self.clock_offset_s = datetime.fromisoformat(session["server_time"]).timestamp() - time.time()


class ResidentPhone(Phone):
    """A resident's mini-program."""

    async def log_in(self, code: str) -> dict[str, Any]:
        """With a code of wx.login."""
        session: dict[str, Any] = await self.call("POST", "/sessions", {"code": code})
        self._keep(session)
        return session

    async def bind(self, name: str, id_number: str) -> dict[str, Any]:
        """Tells the real name."""
        bound: dict[str, Any] = await self.call("POST", "/me/identity", {"name": name, "id_number": id_number})
        return bound

    async def wait_for_points(self, points: int) -> dict[str, Any]:
        """The wallet once it holds `points`; campaigns pay within seconds."""
        deadline = time.monotonic() + EARN_WITHIN_S
        while True:
            wallet: dict[str, Any] = await self.call("GET", "/wallet")
            if wallet["points"] >= points or time.monotonic() > deadline:
                return wallet
            await asyncio.sleep(0.1)

    async def claim(self, template_id: str, key: UUID | None = None) -> dict[str, Any]:
        """Claims or exchanges a coupon."""
        claimed: dict[str, Any] = await self.call(
            "POST", "/coupons", {"template_id": template_id}, **{"Idempotency-Key": str(key or client_id(self.unix()))}
        )
        return claimed

    async def show(self, coupon_id: str, count: int = 1) -> list[Handle]:
        """Fetches handles for a coupon."""
        reply = await self.call(
            "POST", "/credentials", {"subject": {"kind": "coupon", "id": coupon_id}, "count": count}
        )
        return [
            Handle(
                one["credential_id"],
                int(one["handle"]),
                base64.b64decode(one["seed"]),
                reply["prefix"],
                self.clock_offset_s,
            )
            for one in reply["credentials"]
        ]

    async def picture(self, credential_id: str, kind: str = "png") -> bytes:
        """The code as the server draws it."""
        answer = await self.http.post(
            f"/api/mp/v1/credentials/{credential_id}/picture", json={"format": kind}, headers=self.headers
        )
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise Refusal(answer.status_code, answer.json())
        return answer.content


class CounterPhone(Phone):
    """A shop assistant's mini-program."""

    async def log_in(self, code: str, store_id: str) -> dict[str, Any]:
        """With a code of wx.login, at one store."""
        session: dict[str, Any] = await self.call("POST", "/merchant/sessions", {"code": code, "store_id": store_id})
        self._keep(session)
        return session

    async def verify(self, code: str) -> dict[str, Any]:
        """Is this code usable here?"""
        found: dict[str, Any] = await self.call("POST", "/merchant/verifications", {"code": code})
        return found

    async def redeem(
        self, ticket: str, order_amount_fen: int | None = None, order_no: str | None = None
    ) -> dict[str, Any]:
        """Redeems a ticket."""
        body = {"ticket": ticket, "order_amount_fen": order_amount_fen, "order_no": order_no}
        body = {name: value for name, value in body.items() if value is not None}
        receipt: dict[str, Any] = await self.call("POST", "/merchant/redemptions", body)
        return receipt

    async def void(self, redemption_id: str, reason: str) -> dict[str, Any]:
        """Takes a redemption back."""
        done: dict[str, Any] = await self.call(
            "POST", f"/merchant/redemptions/{redemption_id}/void", {"reason": reason}
        )
        return done


def read_picture(png: bytes) -> str:
    """What a camera reads in a picture of a code. Raises ValueError when it reads nothing."""
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)))
    if len(found) != 1:
        raise ValueError(f"{len(found)} codes in the picture")
    return str(found[0].text)


def client_id(unix_s: float | None = None) -> UUID:
    """A UUIDv7 of this second, by default by the phone's own clock."""
    value = (int((time.time() if unix_s is None else unix_s) * 1000) << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (7 << 76)
    return UUID(int=(value & ~(0x3 << 62)) | (0x2 << 62))
