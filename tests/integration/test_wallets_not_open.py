"""Every list of a wallet says when there is none yet; an empty one is no answer to that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from miniprogram_api.resident import wallet
from miniprogram_api.schemas.wallet import BalanceQuery, EntryQuery, HoldQuery
from server.kit.caller import Caller
from server.sandbox.engines import Engines
from server.web.routing import Call
from tests.support.databases import Database
from tests.support.jobs import open_jobs
from tests.support.ledger import open_ledger
from wallet.errors import Refused

NOBODY = 999_999_999


async def test_a_resident_without_a_wallet_hears_so_everywhere(engines: Engines, fresh_database: Database) -> None:
    async with open_ledger(fresh_database) as ledger, open_jobs(engines, fresh_database) as services:
        asks: list[tuple[Any, tuple[Any, ...]]] = [
            (wallet.show_wallet, ()),
            (wallet.list_entries, (EntryQuery(),)),
            (wallet.list_holds, (HoldQuery(),)),
            (wallet.show_balance, (BalanceQuery(datetime.now(UTC) - timedelta(seconds=1)),)),
        ]
        for ask, query in asks:
            with pytest.raises(Refused) as refusal:
                await ask(Call(services, Caller("resident", resident_id=NOBODY), "", ""), *query)
            assert refusal.value.code == "wallet_not_open", ask
        resident = await ledger.resident()
        for ask, query in asks[1:3]:
            reply = await ask(Call(services, Caller("resident", resident_id=resident), "", ""), *query)
            assert reply.body.items == [], "a wallet of which nothing is to be listed"
