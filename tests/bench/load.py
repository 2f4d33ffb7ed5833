"""The load generator: bare sockets and epoll, requests rendered beforehand, one process of its own.

`python -m tests.bench.load <plan.json>`: reads {port, connections, seconds, requests (a file), expect, contains,
forever, rate, kinds} and prints one JSON object: answers, seconds, latencies, CPU share, and the answers that were not
as expected. Each request is sent once (`forever`: round and round). `kinds` instead of expect and contains: by name,
[status, contains] of each answer that may come; every kind is told with its latencies, its last answer's time and the
first and last request that got it.

Without a rate every connection is kept busy: as fast as answers come. With a rate requests come by themselves, that
many a second at random moments (Poisson), and a latency begins when the request was due, whether a connection was free
or not: what waits is not forgotten.
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import sys
import time
from array import array
from collections import deque
from pathlib import Path
from typing import Any

CHUNK = 65536
MAX_SHOWN = 3
SILENCE_S = 10.0


def pack(requests: list[bytes]) -> bytes:
    """Requests as one file: each behind its length."""
    return b"".join(struct.pack(">I", len(one)) + one for one in requests)


def unpack(packed: bytes) -> list[bytes]:
    """The requests of a file."""
    requests, at = [], 0
    while at < len(packed):
        (length,) = struct.unpack_from(">I", packed, at)
        requests.append(packed[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


def connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def whole(received: bytes) -> bool:
    """Whether this is a whole answer: one answer at a time is under way on a connection."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = received[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
    return len(received) >= end + 4 + length


def percentiles(latencies: array[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    return {
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    }


class Kind:
    """Answers of one kind."""

    def __init__(self, name: str, expect: bytes, contains: bytes) -> None:
        self.name, self._expect, self._contains = name, expect, contains
        self.latencies = array("d")
        self._ended = 0.0
        self._requests: list[int] = []

    def is_of(self, answer: bytes) -> bool:
        return answer[9:12] == self._expect and self._contains in answer and b"replayed: true" not in answer

    def take(self, latency: float, at: float, request: int) -> None:
        self.latencies.append(latency)
        self._ended = at
        self._requests.append(request)

    def found(self, start: float) -> dict[str, Any]:
        return {
            "answers": len(self.latencies), "until_s": self._ended - start, **percentiles(self.latencies),
            "first_request": min(self._requests), "last_request": max(self._requests),
        }  # fmt: skip


class Load:
    """Connections, requests and what came back."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._requests = unpack(Path(plan["requests"]).read_bytes())
        kinds = plan.get("kinds") or {"expected": [plan["expect"], plan["contains"]]}
        self._kinds = [Kind(name, expect.encode(), contains.encode()) for name, (expect, contains) in kinds.items()]
        self._forever = plan["forever"]
        self._ends = {one.fileno(): one for one in (connected(plan["port"]) for _ in range(plan["connections"]))}
        self._poll = select.epoll()
        for number in self._ends:
            self._poll.register(number, select.EPOLLIN)
        self._received = dict.fromkeys(self._ends, b"")
        self._due = dict.fromkeys(self._ends, 0.0)
        self._sent = dict.fromkeys(self._ends, 0)
        self._position = self._busy = self._wrong = 0
        self._latencies, self._strange = array("d"), list[str]()
        self._finished = 0.0

    @property
    def _left(self) -> bool:
        return self._forever or self._position < len(self._requests)

    def _send(self, number: int, due: float) -> None:
        self._due[number] = due
        self._sent[number] = self._position
        self._ends[number].sendall(self._requests[self._position % len(self._requests)])
        self._position += 1
        self._busy += 1

    def _answered(self, wait_s: float) -> list[int]:
        """The connections whose answer is whole after waiting at most so long."""
        free = []
        for number, _ in self._poll.poll(wait_s):
            part = self._ends[number].recv(CHUNK)
            answer = self._received[number] + part
            if not whole(answer):
                if not part:
                    raise SystemExit(f"the server closed a connection after {answer!r}")
                self._received[number] = answer
                continue
            self._finished = time.perf_counter()
            self._latencies.append(self._finished - self._due[number])
            self._received[number] = b""
            self._busy -= 1
            kind = next((one for one in self._kinds if one.is_of(answer)), None)
            if kind is not None:
                kind.take(self._finished - self._due[number], self._finished, self._sent[number])
            else:
                self._wrong += 1
                if len(self._strange) < MAX_SHOWN:
                    self._strange.append(answer.decode(errors="replace"))
            free.append(number)
        return free

    def saturate(self, seconds: float) -> None:
        """Keeps every connection busy, then waits for what is under way."""
        until = time.perf_counter() + seconds
        for number in self._ends:
            self._send(number, time.perf_counter())
        while self._busy:
            free = self._answered(SILENCE_S)
            now = time.perf_counter()
            if not free and now - max(self._finished, until - seconds) > SILENCE_S:
                raise SystemExit(f"no answer for {SILENCE_S:.0f} s, {self._busy} requests under way")
            for number in free:
                if now < until and self._left:
                    self._send(number, now)

    def pace(self, seconds: float, rate: float) -> None:
        """Sends `rate` requests a second at random moments, whatever comes back, then waits for what is under way."""
        chance = random.Random(7)
        now = time.perf_counter()
        until, coming = now + seconds, now
        idle, waiting = list(self._ends), deque[float]()
        while True:
            now = time.perf_counter()
            while coming <= now and coming < until and self._position + len(waiting) < len(self._requests):
                waiting.append(coming)
                coming += chance.expovariate(rate)
            while waiting and idle:
                self._send(idle.pop(), waiting.popleft())
            over = coming >= until or self._position + len(waiting) >= len(self._requests)
            if over and not waiting and not self._busy:
                return
            if now > until + SILENCE_S:
                raise SystemExit(f"{self._busy} requests under way and {len(waiting)} waiting long after the end")
            idle += self._answered(SILENCE_S if over else max(coming - now, 0.0))

    def found(self, start: float, cpu_s: float) -> dict[str, Any]:
        """The figures of a run that began at `start` with so much CPU time used."""
        elapsed = self._finished - start
        return {
            "answers": len(self._latencies),
            "seconds": elapsed,
            "per_second": len(self._latencies) / elapsed,
            **percentiles(self._latencies),
            "cpu_share": (time.process_time() - cpu_s) / elapsed,
            "wrong": self._wrong,
            "strange": self._strange,
            "kinds": {one.name: one.found(start) for one in self._kinds if one.latencies},
        }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    load = Load(plan)
    start, cpu_s = time.perf_counter(), time.process_time()
    if plan.get("rate"):
        load.pace(plan["seconds"], plan["rate"])
    else:
        load.saturate(plan["seconds"])
    print(json.dumps(load.found(start, cpu_s)))


if __name__ == "__main__":
    main()
