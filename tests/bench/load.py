"""The load generator: bare sockets and epoll, requests rendered beforehand, one process of its own.

`python -m tests.bench.load <plan.json>`: reads {port, connections, seconds, requests (a file), expect, contains,
forever}, sends as fast as answers come, each request once (`forever`: round and round), and prints one JSON object:
answers, seconds, latencies, CPU share, and the answers that were not as expected.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Any

CHUNK = 65536
MAX_SHOWN = 3


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


def run(
    port: int, connections: int, seconds: float, requests: list[bytes], expect: bytes, contains: bytes, forever: bool
) -> dict[str, Any]:
    """Keeps every connection busy for `seconds` or until the requests are used up, then waits for what is under way."""
    ends = {one.fileno(): one for one in (connected(port) for _ in range(connections))}
    poll = select.epoll()
    sent_at = dict.fromkeys(ends, 0.0)
    received = dict.fromkeys(ends, b"")
    latencies, strange, wrong = array("d"), [], 0
    position, count, busy = 0, len(requests), 0
    start, cpu = time.perf_counter(), time.process_time()
    until = start + seconds
    for number, end in ends.items():
        poll.register(number, select.EPOLLIN)
        sent_at[number] = time.perf_counter()
        end.sendall(requests[position % count])
        position, busy = position + 1, busy + 1
    finished = start
    while busy:
        for number, _ in poll.poll(10) or [(-1, 0)]:
            if number < 0:
                raise SystemExit(f"no answer for 10 s, {busy} requests under way")
            part = ends[number].recv(CHUNK)
            answer = received[number] + part
            if not whole(answer):
                if not part:
                    raise SystemExit(f"the server closed a connection after {answer!r}")
                received[number] = answer
                continue
            now = finished = time.perf_counter()
            latencies.append(now - sent_at[number])
            received[number] = b""
            if answer[9:12] != expect or contains not in answer or b"replayed: true" in answer:
                wrong += 1
                if len(strange) < MAX_SHOWN:
                    strange.append(answer.decode(errors="replace"))
            if now < until and (forever or position < count):
                sent_at[number] = now
                ends[number].sendall(requests[position % count])
                position += 1
            else:
                busy -= 1
    elapsed = finished - start
    ordered = sorted(latencies)
    return {
        "answers": len(ordered),
        "seconds": elapsed,
        "per_second": len(ordered) / elapsed,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "cpu_share": (time.process_time() - cpu) / elapsed,
        "used_up": not forever and position >= count,
        "wrong": wrong,
        "strange": strange,
    }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    requests = unpack(Path(plan["requests"]).read_bytes())
    found = run(
        plan["port"],
        plan["connections"],
        plan["seconds"],
        requests,
        plan["expect"].encode(),
        plan["contains"].encode(),
        plan["forever"],
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
