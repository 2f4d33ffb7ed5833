"""Does this name belong to this ID number? Asked of the city's verification service, never decided here."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
import msgspec
import structlog

from server.kit.errors import AppError

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 5.0
RETRY_PAUSE_S: Final = 0.2
_ANSWERS: Final = {"match": True, "mismatch": False, "no_record": False}
_log = structlog.get_logger(__name__)


class RealNameUnavailable(AppError):
    """The verification service gave no usable answer; nothing is known about the person."""

    code, status, message = "real_name_unavailable", 503, "实名核验服务暂时不可用，请稍后再试"


class HttpRealNameVerifier:
    """POST `base_url`/realname/v1/check with the key in X-Api-Key; it answers match, mismatch or no_record."""

    def __init__(self, base_url: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"x-api-key": key},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    async def verify(self, name: str, id_number: str) -> bool:
        """Whether the name belongs to the ID number. A broken line is tried once more, a slow answer is not."""
        for last in (False, True):
            result = await self._ask(name, id_number, last=last)
            if result is not None:
                return result
            await asyncio.sleep(RETRY_PAUSE_S)
        raise RealNameUnavailable(retry_after_s=1)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, name: str, id_number: str, *, last: bool) -> bool | None:
        """The answer; None when it is worth a second try."""
        content = msgspec.json.encode({"name": name, "id_number": id_number})
        try:
            response = await self._http.post(
                "/realname/v1/check", content=content, headers={"content-type": "application/json"}
            )
        except httpx.HTTPError as failure:
            _log.warning("real_name_unanswered", failure=type(failure).__name__)
            if last or isinstance(failure, httpx.TimeoutException):
                raise RealNameUnavailable(retry_after_s=1) from None
            return None
        try:
            decoded = msgspec.json.decode(response.content) if response.status_code == httpx.codes.OK else None
        except msgspec.DecodeError:
            decoded = None
        answer = _ANSWERS.get(str(decoded.get("result"))) if isinstance(decoded, dict) else None
        if answer is None:
            _log.warning("real_name_unreadable", status=response.status_code)
            raise RealNameUnavailable(retry_after_s=1)
        return answer
