"""Subscribe messages: who has asked for how many of which template, what a template's keywords may hold, what arrived.

The rules are those of the document "发送订阅消息": one accept is one message (43101 afterwards); every keyword of the
template has a value of its kind (47003 names the first that has not). Where it is silent on the order of the checks,
what the caller got wrong comes before what the person did not ask for.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from server.sandbox.wechat import SANDBOX_TEMPLATES

KEPT: Final = 1_000
_DAY: Final = r"(?:\d{4}年\d{1,2}月\d{1,2}日|\d{4}-\d{2}-\d{2})"
_TIME: Final = r"\d{1,2}:\d{2}(?::\d{2})?"

#: What a keyword may hold, by the letters of its key.
VALUES: Final[dict[str, re.Pattern[str]]] = {
    "thing": re.compile(r"[^\n]{1,20}"),
    "number": re.compile(r"(?=.{1,32}$)-?\d+(?:\.\d+)?"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(r"[^\w\s]{1,5}"),
    "character_string": re.compile(r"[\x21-\x7e]{1,32}"),
    "time": re.compile(rf"(?:{_DAY} )?{_TIME}(?:~(?:{_DAY} )?{_TIME})?"),
    "date": re.compile(rf"{_DAY}(?: {_TIME})?(?:~{_DAY}(?: {_TIME})?)?"),
    "amount": re.compile(r"[¥$€]?\d{1,10}(?:\.\d+)?元?"),
    "phone_number": re.compile(r"[\d+-]{1,17}"),
    "name": re.compile(r"[\u3400-\u9fff]{1,10}|[A-Za-z ·.]{1,20}"),
    "phrase": re.compile(r"[\u3400-\u9fff]{1,5}"),
}


class Refused(Exception):
    """An errcode instead of an answer; `detail` is put behind its usual words."""

    def __init__(self, errcode: int, detail: str = "") -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.detail = detail


@dataclass
class Messages:
    """The people known to the app, what they have asked for, and what reached their phones (the last 1,000)."""

    templates: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(SANDBOX_TEMPLATES))
    openids: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def subscribe(self, openid: str, template_id: str, count: int) -> int:
        """A person accepts; answers how many messages may come now."""
        self.openids.add(openid)
        self.asked[openid, template_id] += count
        return self.asked[openid, template_id]

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """One message to one person."""
        openid, template_id, page = body.get("touser"), body.get("template_id"), body.get("page", "")
        if not isinstance(openid, str) or openid not in self.openids:
            raise Refused(40003)
        if not isinstance(template_id, str) or template_id not in self.templates:
            raise Refused(40037)
        if not isinstance(page, str) or page.startswith("/"):
            raise Refused(41030)
        self._check(self.templates[template_id], body.get("data"))
        if self.asked[openid, template_id] <= 0:
            raise Refused(43101)
        self.asked[openid, template_id] -= 1
        self.sent.append({"touser": openid, "template_id": template_id, "page": page, "data": body["data"]})
        return {"errcode": 0, "errmsg": "ok"}

    def _check(self, keys: tuple[str, ...], data: object) -> None:
        if not isinstance(data, dict):
            raise Refused(47003, "data is empty")
        for key in keys:
            given = data.get(key)
            value = given.get("value") if isinstance(given, dict) else None
            if value is None or value == "":
                raise Refused(47003, f"data.{key}.value is empty")
            if not VALUES[key.rstrip("0123456789")].fullmatch(str(value)):
                raise Refused(47003, f"data.{key}.value invalid")
        for key in data:
            if key not in keys:
                raise Refused(47003, f"data.{key} is not in the template")
