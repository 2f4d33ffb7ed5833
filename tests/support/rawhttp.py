"""HTTP/1.1 over bare sockets: requests rendered beforehand, answers taken apart only as far as a test needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def render(
    method: str, path: str, *, token: str = "", body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole request that keeps its connection."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: house"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def replayed(self) -> bool:
        return self.headers.get("idempotency-replayed") == "true"

    def json(self) -> Any:
        return json.loads(self.body)


def take_answer(received: bytes) -> tuple[Answer, bytes] | None:
    """The first whole answer in `received` and what follows it; None while it is not whole."""
    head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    if len(rest) < length:
        return None
    return Answer(int(first.split(" ", 2)[1]), headers, rest[:length]), rest[length:]


class Line:
    """One connection that is made anew after a failure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, *, timeout_s: float) -> Answer:
        """The answer. Raises OSError (TimeoutError among them) when there is none; the connection is then given up."""
        try:
            async with asyncio.timeout(timeout_s):
                if self._writer is None or self._reader is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writer.write(request)
                received = b""
                while True:
                    part = await self._reader.read(65536)
                    if not part:
                        raise ConnectionResetError("closed before the answer")
                    received += part
                    taken = take_answer(received)
                    if taken is not None:
                        if taken[0].headers.get("connection", "").lower() == "close":
                            self.close()
                        return taken[0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the connection up at once."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
