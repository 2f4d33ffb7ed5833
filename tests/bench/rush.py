"""The minute in which scarce coupons open: a crowd over HTTP, each resident once, on a fifth as many coupons."""

from __future__ import annotations

from datetime import UTC, datetime

from server.config import Settings
from server.incentives.limits import Limit
from server.kit.ids import uuid7
from tests.bench.folk import CLAIM, new_templates, settle_people
from tests.bench.ground import Ground, HttpServer, Round
from tests.bench.rivals import RoundInvalid
from tests.support.databases import Database
from tests.support.rawhttp import render
from wallet.items import Op

FIRST_OWNER = 6 << 40
#: As many phones as have a connection at one moment; the others come as soon as one is free.
CONNECTIONS = 1_000
PART = 5
LONGEST_S = 120.0
KINDS = {"won": ("201", '"claimed_at"'), "sold_out": ("409", '"sold_out"'), "waiting": ("503", '"waiting_room"')}


class Rush:
    """The same crowd for another template in each round."""

    def __init__(self, ground: Ground, database: Database, settings: Settings, crowd: int) -> None:
        self._ground, self._database, self._settings, self._crowd = ground, database, settings, crowd

    async def gather(self) -> None:
        """Lays the crowd in: sessions, tokens, wallets."""
        self._people = await settle_people(
            self._database, self._settings, range(FIRST_OWNER, FIRST_OWNER + self._crowd)
        )

    async def open(self, server: HttpServer) -> Round:
        """Everybody claims. Raises RoundInvalid unless exactly as many coupons are given as there are, and everybody
        else is told that they are sold out, or to wait."""
        stock = self._crowd // PART
        (template,) = await new_templates(self._settings, {"stock": stock, "limits": (Limit(1, "issue"),)})
        now = datetime.now(UTC)
        requests = [
            render(
                "POST", CLAIM, token=who.token, body={"template_id": str(template)},
                headers={"Idempotency-Key": str(uuid7(now))},
            )
            for who in self._people
        ]  # fmt: skip
        since = await self._ground.mark()
        found = await self._ground.crowd(server, requests, LONGEST_S, KINDS, CONNECTIONS)
        booked, batch = await self._ground.booked(Op.CLAIM, since)
        kinds = found["kinds"]
        if not (kinds["won"]["answers"] == booked == stock and found["answers"] == self._crowd):
            raise RoundInvalid(f"rush: {kinds}, {booked} booked of {stock}")
        won, late = kinds["won"], kinds["sold_out"]
        return {
            "per_second": won["answers"] / won["until_s"], "p50_ms": won["p50_ms"], "p99_ms": won["p99_ms"],
            "batch": batch, "answers_per_second": found["per_second"], "sold_out_p50_ms": late["p50_ms"],
            "sold_out_p99_ms": late["p99_ms"],
            "sold_out_per_second": late["answers"] / max(late["until_s"] - won["until_s"], 1e-3),
            "waiting_answers": kinds.get("waiting", {}).get("answers", 0),
            "overtaken_requests": max(0, won["last_request"] - late["first_request"]),
            "load_cpus": found["cpu_share"], "postgres_cpus": found["postgres_cpus"],
            "server_cpus": found["server_cpus"],
        }  # fmt: skip
