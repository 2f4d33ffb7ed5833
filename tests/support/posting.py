"""A process that posts what it is handed and says what it was told. It remembers nothing; whoever hands it does.

stdin   first line: where to post          then one request a line   {"n", "op", "resident", "id", ...arguments}
stdout  one line per answer {"n", "said"}: done with its body, refused with its code, again (nothing is known), strange
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from wallet import Refused, Vault, VaultError, VaultUnavailable

#: What tells a caller to send the same again.
PASSING = frozenset({"in_flight", "queue_full", "vault_unavailable", "budget_busy"})
#: Posted through the worker's door.
JOBS = frozenset({"earn"})
CONNECT_PAUSE_S = 0.1
_DECODED = {"earned_on": date.fromisoformat, "hold_id": UUID, "posting_id": UUID}


async def connect(dsn: str, **options: Any) -> Vault:
    """A vault, as soon as its database lets anybody in."""
    while True:
        try:
            return await Vault.connect(dsn, **options)
        except VaultUnavailable:
            await asyncio.sleep(CONNECT_PAUSE_S)


async def said_to(app: Vault, worker: Vault, request: dict[str, Any]) -> dict[str, Any]:
    """What the vault said to one request."""
    arguments = {name: _DECODED.get(name, lambda same: same)(value) for name, value in request["arguments"].items()}
    call = getattr(worker if request["op"] in JOBS else app, request["op"])
    try:
        done = await call(request["resident"], UUID(request["id"]), **arguments)
    except VaultError as refused:
        if refused.code in PASSING or not isinstance(refused, Refused):
            return {"again": refused.code}
        return {"refused": refused.code, "replayed": refused.replayed}
    except Exception as problem:
        return {"strange": repr(problem)}
    return {"done": msgspec.to_builtins(done.result), "replayed": done.replayed}


async def post_all() -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    plan = json.loads(await lines.readline())
    options = {"first_lane": plan["lane"], "queue": plan["queue"], "pool_max": 2}
    app = await connect(plan["app"], role="app", **options)
    worker = await connect(plan["worker"], role="worker", **options)
    running: set[asyncio.Task[None]] = set()

    async def answer(request: dict[str, Any]) -> None:
        said = await said_to(app, worker, request)
        print(json.dumps({"n": request["n"], "said": said}), flush=True)

    try:
        while line := await lines.readline():
            task = asyncio.create_task(answer(json.loads(line)))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    finally:
        await app.close()
        await worker.close()


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        asyncio.run(post_all())
