"""WeChat's server side, as far as the house needs it.

code_to_session  GET  /sns/jscode2session                one try: a code is used up by the first
phone_number     POST /wxa/business/getuserphonenumber   one try, and one more when the token (not the code) was refused
send_message     POST /cgi-bin/message/subscribe/send    likewise; the answer says whether the message may have gone out
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from server.kit.clock import Clock
from server.kit.redis import Cache
from server.people.wechat.errors import BUSY, NOT_SUBSCRIBED, QUOTA_OUT, TOKEN_BAD, Errcode, WeChatBusy, meaning
from server.people.wechat.token import StableToken
from server.people.wechat.wire import Unanswered, Wire, unreachable


@dataclass(frozen=True)
class WeChatLogin:
    """Who logged in. WeChat's session key is dropped on arrival: nothing here needs it (D26)."""

    openid: str = field(repr=False)
    unionid: str | None = field(repr=False)


class Delivery(Enum):
    """What became of a message. Only after NOT_NOW may the same message be sent again: it certainly did not go out."""

    SENT = "sent"
    NO_GRANT = "no_grant"
    REFUSED = "refused"
    NOT_NOW = "not_now"
    UNKNOWN = "unknown"


class WeChat:
    """The client of one mini-program. Refusals are `AppError`s; nothing that uses a code up is retried."""

    def __init__(
        self,
        appid: str,
        secret: str,
        base_url: str,
        cache: Cache,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._appid = appid
        self._secret = secret
        self._wire = Wire(base_url, clock)
        self._token = StableToken(appid=appid, secret=secret, wire=self._wire, cache=cache, clock=clock, sleep=sleep)

    async def code_to_session(self, code: str) -> WeChatLogin:
        """The person behind a wx.login code. After `WeChatUnreachable` or `WeChatBusy` the phone needs a fresh code."""
        query = {
            "appid": self._appid,
            "secret": self._secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        try:
            answer = await self._wire.call("GET", "/sns/jscode2session", query=query)
        except Errcode as refused:
            raise meaning(refused, phone=False) from None
        except Unanswered:
            raise unreachable() from None
        openid, unionid = answer.get("openid"), answer.get("unionid")
        if not isinstance(openid, str) or not openid:
            raise unreachable()
        return WeChatLogin(openid, unionid if isinstance(unionid, str) and unionid else None)

    async def phone_number(self, code: str) -> str:
        """The number behind a phone code: 11 digits of the mainland, else `+` with the country code."""
        try:
            return self._number(await self._with_token("/wxa/business/getuserphonenumber", {"code": code}))
        except Errcode as refused:
            raise meaning(refused, phone=True) from None
        except Unanswered:
            raise unreachable() from None

    async def send_message(
        self, openid: str, template_id: str, values: Mapping[str, str], *, page: str = ""
    ) -> Delivery:
        """One subscribe message, tried once. NO_GRANT: the person has asked for none (43101); REFUSED: what we sent is
        wrong (40003 openid, 40037 template, 47003 a value); NOT_NOW: busy, quota used up, not reached; UNKNOWN: it may
        have gone out, nobody knows."""
        body: dict[str, Any] = {
            "touser": openid,
            "template_id": template_id,
            "data": {key: {"value": value} for key, value in values.items()},
        }
        if page:
            body["page"] = page
        try:
            await self._token.get()
        except (Errcode, Unanswered, WeChatBusy):
            return Delivery.NOT_NOW
        try:
            await self._with_token("/cgi-bin/message/subscribe/send", body)
        except Errcode as refused:
            if refused.errcode == NOT_SUBSCRIBED:
                return Delivery.NO_GRANT
            passing = refused.errcode == BUSY or refused.errcode in QUOTA_OUT | TOKEN_BAD
            return Delivery.NOT_NOW if passing else Delivery.REFUSED
        except WeChatBusy:
            return Delivery.NOT_NOW
        except Unanswered as lost:
            return Delivery.UNKNOWN if lost.arrived else Delivery.NOT_NOW
        return Delivery.SENT

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _with_token(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One call, and exactly one more with another token when WeChat refuses the first one."""
        token = await self._token.get()
        try:
            return await self._wire.call("POST", path, query={"access_token": token}, body=body)
        except Errcode as refused:
            if refused.errcode not in TOKEN_BAD:
                raise
        await self._token.invalidate(token)
        token = await self._token.get()
        return await self._wire.call("POST", path, query={"access_token": token}, body=body)

    def _number(self, answer: dict[str, Any]) -> str:
        info = answer.get("phone_info")
        info = info if isinstance(info, dict) else {}
        watermark = info.get("watermark")
        number, country = info.get("purePhoneNumber"), info.get("countryCode", "86")
        if not isinstance(watermark, dict) or watermark.get("appid") != self._appid or not isinstance(number, str):
            raise Unanswered(timed_out=False)
        return number if str(country) == "86" else f"+{country}{number}"
