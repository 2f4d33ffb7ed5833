"""One call to WeChat: bounded in time, logged by its rid, with no secret in any log or exception."""

from __future__ import annotations

import logging
import math
import re
from typing import Any, Final

import httpx
import msgspec
import structlog

from server.kit.clock import Clock
from server.people.wechat.errors import QUOTA_OUT, Errcode, WeChatBusy, WeChatUnreachable

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 5.0
MAX_CONNECTIONS: Final = 32
_RID: Final = re.compile(r"rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})")
_NOT_CONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_log = structlog.get_logger(__name__)

# httpx writes whole URLs at INFO, and WeChat wants the app's secret and the access token in the URL.
for _noisy in ("httpx", "httpcore"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


class Unanswered(Exception):
    """No usable answer. `timed_out` tells a slow server from a broken line; `arrived`: whether the call may have taken
    its effect. It has not when no connection was made."""

    def __init__(self, *, timed_out: bool, arrived: bool = True) -> None:
        super().__init__("timed out" if timed_out else "no usable answer")
        self.timed_out = timed_out
        self.arrived = arrived


class Wire:
    """The pool to `base_url`, and the local breaker: a quota that ran out stays out until the next minute."""

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._clock = clock
        self._quota_back_at: dict[str, float] = {}
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            trust_env=False,
            follow_redirects=False,
        )

    async def call(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The decoded success answer; `Errcode`, `Unanswered`, or `WeChatBusy` while the breaker is open."""
        wait_s = self._quota_back_at.get(path, 0.0) - self._clock.unix()
        if wait_s > 0:
            raise WeChatBusy(retry_after_s=math.ceil(wait_s))
        answer = await self._exchange(method, path, query, body)
        errcode = answer.get("errcode", 0)
        if errcode == 0:
            return answer
        found = _RID.search(str(answer.get("errmsg", "")))
        rid = found.group(1) if found else ""
        _log.warning("wechat_refused", path=path, errcode=errcode, rid=rid)
        if errcode in QUOTA_OUT:
            self._quota_back_at[path] = (self._clock.unix() // 60 + 1) * 60
        raise Errcode(errcode if isinstance(errcode, int) else 0, rid)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._http.aclose()

    async def _exchange(
        self, method: str, path: str, query: dict[str, str] | None, body: dict[str, Any] | None
    ) -> dict[str, Any]:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            response = await self._http.request(method, path, params=query, content=content, headers=headers)
        except httpx.HTTPError as failure:
            timed_out = isinstance(failure, httpx.TimeoutException)
            _log.warning("wechat_unanswered", path=path, failure=type(failure).__name__)
            # The original carries the URL, and the URL carries secrets.
            raise Unanswered(timed_out=timed_out, arrived=not isinstance(failure, _NOT_CONNECTED)) from None
        try:
            answer = msgspec.json.decode(response.content) if response.status_code == httpx.codes.OK else None
        except msgspec.DecodeError:
            answer = None
        if not isinstance(answer, dict):
            _log.warning("wechat_unreadable", path=path, status=response.status_code)
            raise Unanswered(timed_out=False)
        return answer


def unreachable() -> WeChatUnreachable:
    """What a person sees when WeChat gave no usable answer."""
    return WeChatUnreachable(retry_after_s=1)
