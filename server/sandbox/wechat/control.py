"""Start the stand-in from another program, and arrange its scene."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import httpx

from server.sandbox.wechat import SANDBOX_APPID, SANDBOX_REALNAME_KEY, SANDBOX_SECRET

ROOT: Final = Path(__file__).resolve().parents[3]
STOP_TIMEOUT_S: Final = 10


class StandInProcess:
    """The stand-in in a process of its own, which ends with ours."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    def start(self) -> str:
        """Start and wait until it listens; answers its base URL."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.sandbox.wechat", "--port", str(self._port), "--with-parent"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        if not self.base_url:
            raise RuntimeError(f"the WeChat stand-in does not start on port {self._port}")
        with httpx.Client(base_url=self.base_url, transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
            client.get("/_sim/health", timeout=STOP_TIMEOUT_S).raise_for_status()
        return self.base_url

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


class StandInControl:
    """The control routes of a running stand-in, one method each."""

    appid: Final = SANDBOX_APPID
    secret: Final = SANDBOX_SECRET
    realname_key: Final = SANDBOX_REALNAME_KEY

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=10)

    async def login_code(self, openid: str, *, unionid: str | None = None, blocked: bool = False) -> str:
        """A fresh code of wx.login for `openid`."""
        answer = await self._post("login-codes", {"openid": openid, "unionid": unionid, "blocked": blocked})
        return str(answer["code"])

    async def phone_code(self, openid: str, phone: str) -> str:
        """A fresh code of the phone-number button."""
        return str((await self._post("phone-codes", {"openid": openid, "phone": phone}))["code"])

    async def register_people(self, people: Iterable[tuple[str, str]]) -> None:
        """Make the name-and-ID check know these (name, ID number) pairs."""
        await self._post("people", {"people": [{"name": name, "id_number": number} for name, number in people]})

    async def subscribe(self, openid: str, template_id: str, *, count: int = 1) -> int:
        """What "accept" on the phone of `openid` does, `count` times; how many messages WeChat would deliver now."""
        answer = await self._post("subscriptions", {"openid": openid, "template_id": template_id, "count": count})
        return int(answer["left"])

    async def messages(self) -> list[dict[str, Any]]:
        """The subscribe messages that reached phones, in order: touser, template_id, page, data."""
        answer = await self._http.get("/_sim/messages")
        answer.raise_for_status()
        sent: list[dict[str, Any]] = answer.json()["messages"]
        return sent

    async def fault(self, path: str, *, times: int = 1, **what: Any) -> None:
        """Plan what goes wrong next on `path`: errcode=, delay_ms=, reset=, malformed=, html502=.

        With after=True the call takes its effect first, and only the answer is lost.
        """
        await self._post("faults", {"path": path, "times": times, **what})

    async def quota(self, path: str, per_minute: int, errcode: int) -> None:
        """Another minute's quota for `path`."""
        await self._post("quotas", {"path": path, "per_minute": per_minute, "errcode": errcode})

    async def advance_clock(self, seconds: float) -> None:
        """Move the stand-in's clock."""
        await self._post("clock", {"advance_s": seconds})

    async def kill_tokens(self) -> None:
        """Make every access token handed out so far invalid."""
        await self._post("tokens/kill", {})

    async def calls(self, path: str) -> int:
        """How many calls `path` has had since the last reset."""
        return int((await self.counters())["calls"].get(path, 0))

    async def counters(self) -> dict[str, dict[str, int]]:
        """Calls by path and refusals by errcode."""
        answer = await self._http.get("/_sim/counters")
        answer.raise_for_status()
        counted: dict[str, dict[str, int]] = answer.json()
        return counted

    async def reset(self) -> None:
        """Forget everything."""
        await self._post("reset", {})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(f"/_sim/{route}", json=body)
        answer.raise_for_status()
        decoded: dict[str, Any] = answer.json()
        return decoded
