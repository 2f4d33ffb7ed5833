"""Corrections by two people and orders of the desk, on a real database with the real vault."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from tortoise.exceptions import IntegrityError, OperationalError

from server.kit.audit import AuditEntry
from server.kit.clock import Clock
from server.kit.db import close_house, fetch, open_house
from server.kit.errors import InvalidField
from server.kit.ids import uuid7, version_of
from server.ledger_office.adjustments import AdjustmentService
from server.ledger_office.commands import AdjustmentDraft, Clerk, FreezeOrder
from server.ledger_office.desk import WalletDesk
from server.ledger_office.errors import AdjustmentDecided, AdjustmentNotFound
from server.ledger_office.models import Adjustment
from tests.support.databases import Database
from tests.support.incentives import KEY, Unreachable
from tests.support.ledger import refusal
from wallet import Vault, VaultUnavailable

MAKER, CHECKER, THIRD = Clerk(1, "r-1"), Clerk(2, "r-2"), Clerk(3, "r-3")
_numbers = itertools.count(1)


@dataclass
class Office:
    """The office as an HTTP process and the worker have it."""

    app: Vault
    worker: Vault
    clock: Clock
    adjustments: AdjustmentService
    posting: AdjustmentService
    desk: WalletDesk

    def id(self) -> UUID:
        return uuid7(self.clock.now())

    async def resident(self, points: int = 0) -> int:
        resident = 9_000_000 + next(_numbers)
        await self.app.open_wallet(resident)
        if points:
            await self.approved(draft(resident, points=points))
            await self.posting.redrive()
        return resident

    async def approved(self, wanted: AdjustmentDraft) -> Adjustment:
        row, _ = await self.adjustments.request(self.id(), wanted, MAKER)
        return await self.adjustments.approve(row.id, CHECKER)

    async def points(self, resident: int) -> int:
        view = await self.app.read.wallet(resident)
        assert view is not None
        return view.points

    async def trail(self, kind: str, id: object) -> list[tuple[str, str]]:
        rows = await AuditEntry.filter(object_kind=kind, object_id=str(id)).order_by("id")
        return [(row.action, row.actor_id) for row in rows]


class Forgetful:
    """A vault whose answers are lost on the way back."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def adjust(self, *args: Any, **named: Any) -> None:
        await self._vault.adjust(*args, **named)
        raise VaultUnavailable


def draft(resident: int, **changes: Any) -> AdjustmentDraft:
    return replace(AdjustmentDraft(resident, 50, "补记积分", "澄信账〔2026〕1号", 12), **changes)


@pytest_asyncio.fixture(scope="module")
async def office(database: Database) -> AsyncIterator[Office]:
    await open_house(database.worker)
    app = await Vault.connect(database.app, role="app")
    worker = await Vault.connect(database.worker, role="worker")
    clock = Clock()
    clock.follow(await app.now())
    yield Office(
        app, worker, clock, AdjustmentService(vault=app, clock=clock, job_key=KEY),
        AdjustmentService(vault=worker, clock=clock, job_key=KEY), WalletDesk(vault=app, clock=clock),
    )  # fmt: skip
    await worker.close()
    await app.close()
    await close_house()


async def test_a_correction_is_asked_for_approved_by_another_and_posted_by_the_worker(office: Office) -> None:
    resident = await office.resident()
    row, replayed = await office.adjustments.request(office.id(), draft(resident), MAKER)
    assert (row.status, replayed, row.vault_id) == ("pending", False, None)
    await office.posting.redrive()
    assert await office.points(resident) == 0, "nothing moves before the second person"
    approved = await office.adjustments.approve(row.id, CHECKER)
    assert approved.vault_id is not None
    assert (approved.status, approved.decided_by, version_of(approved.vault_id)) == ("approved", 2, 8)
    await office.posting.redrive()
    posted = await office.adjustments.get(row.id)
    assert (posted.status, posted.answer, posted.points_after) == ("posted", "done", 50)
    assert posted.expires_on is not None and await office.points(resident) == 50
    (entry,) = await office.app.read.entries(resident, before_seq=None, limit=9)
    assert entry.id == approved.vault_id
    assert (entry.detail["actor"], entry.detail["approver"], entry.detail["document"]) == (1, 2, "澄信账〔2026〕1号")
    assert await office.trail("adjustment", row.id) == [
        ("adjustment.requested", "1"), ("adjustment.approved", "2"), ("adjustment.posted", "system"),
    ]  # fmt: skip


async def test_nobody_decides_their_own_request_neither_here_nor_in_the_database(office: Office) -> None:
    resident = await office.resident()
    row, _ = await office.adjustments.request(office.id(), draft(resident), MAKER)
    with refusal("two_people_required"):
        await office.adjustments.approve(row.id, MAKER)
    with refusal("two_people_required"):
        await office.adjustments.reject(row.id, "不对", MAKER)
    now = office.clock.now()
    with pytest.raises(IntegrityError, match="adjustment_two_people"):
        await Adjustment.filter(id=row.id).update(
            status="approved", decided_by=1, decided_at=now, due_at=now, vault_id=office.id()
        )
    with pytest.raises(IntegrityError, match="adjustment_two_people"):
        await Adjustment.filter(id=row.id).update(status="approved", due_at=now, vault_id=office.id())
    assert (await office.adjustments.get(row.id)).status == "pending"


async def test_an_answer_lost_on_the_way_is_asked_for_again_and_books_nothing_more(office: Office) -> None:
    resident = await office.resident()
    row = await office.approved(draft(resident))
    for vault in (Unreachable(office.worker, 0), Forgetful(office.worker), Forgetful(office.worker)):
        cut = AdjustmentService(vault=vault, clock=office.clock, job_key=KEY)  # type: ignore[arg-type]
        await cut.redrive()
        assert (await office.adjustments.get(row.id)).status == "approved"
        await Adjustment.filter(id=row.id).update(due_at=office.clock.now())
    await asyncio.gather(*(office.posting.redrive() for _ in range(3)))
    done = await office.adjustments.get(row.id)
    assert (done.status, done.points_after, await office.points(resident)) == ("posted", 50, 50)
    assert [action for action, _ in await office.trail("adjustment", row.id)].count("adjustment.posted") == 1


async def test_what_the_vault_refuses_is_refused_with_its_answer(office: Office) -> None:
    resident = await office.resident(points=10)
    row = await office.approved(draft(resident, points=-11))
    await office.posting.redrive()
    refused = await office.adjustments.get(row.id)
    assert (refused.status, refused.answer, refused.points_after) == ("refused", "insufficient_points", None)
    assert await office.points(resident) == 10
    taken = await office.approved(draft(resident, points=-10))
    await office.posting.redrive()
    assert (await office.adjustments.get(taken.id)).points_after == 0


async def test_a_rejected_request_never_moves_anything(office: Office) -> None:
    resident = await office.resident()
    row, _ = await office.adjustments.request(office.id(), draft(resident), MAKER)
    with pytest.raises(InvalidField):
        await office.adjustments.reject(row.id, "  ", CHECKER)
    rejected = await office.adjustments.reject(row.id, "依据不足", CHECKER)
    assert (rejected.status, rejected.decision_note) == ("rejected", "依据不足")
    assert (await office.adjustments.reject(row.id, "依据不足", CHECKER)).status == "rejected"
    for decide in (office.adjustments.approve(row.id, CHECKER), office.adjustments.reject(row.id, "x", THIRD)):
        with pytest.raises(AdjustmentDecided):
            await decide
    await office.posting.redrive()
    assert await office.points(resident) == 0
    with pytest.raises(AdjustmentNotFound):
        await office.adjustments.approve(office.id(), CHECKER)


async def test_of_many_who_decide_at_once_one_does(office: Office) -> None:
    resident = await office.resident()
    row, _ = await office.adjustments.request(office.id(), draft(resident), MAKER)
    deciders = [office.adjustments.approve(row.id, Clerk(admin, f"r-{admin}")) for admin in range(2, 8)]
    answers = await asyncio.gather(*deciders, return_exceptions=True)
    assert sum(isinstance(answer, Adjustment) for answer in answers) == 1
    assert sum(isinstance(answer, AdjustmentDecided) for answer in answers) == 5


async def test_the_same_key_is_the_same_request_and_another_content_is_refused(office: Office) -> None:
    resident, id = await office.resident(), office.id()
    answers = await asyncio.gather(*(office.adjustments.request(id, draft(resident), MAKER) for _ in range(4)))
    assert sorted(replayed for _, replayed in answers) == [False, True, True, True]
    for other, clerk in ((draft(resident, points=51), MAKER), (draft(resident, document="2号"), MAKER),
                         (draft(resident), CHECKER)):  # fmt: skip
        with refusal("idempotency_mismatch"):
            await office.adjustments.request(id, other, clerk)
    for ago in (timedelta(hours=49), timedelta(minutes=-6)):
        with refusal("idempotency_key_expired"):
            await office.adjustments.request(uuid7(office.clock.now() - ago), draft(resident), MAKER)
    with refusal("wallet_not_open"):
        await office.adjustments.request(office.id(), draft(1), MAKER)
    for bad in ({"points": 0}, {"points": 1_000_001}, {"reason": " "}, {"document": ""}, {"validity_months": 25}):
        with pytest.raises(InvalidField):
            await office.adjustments.request(office.id(), draft(resident, **bad), MAKER)


async def test_what_was_approved_cannot_be_changed_not_even_in_the_database(office: Office) -> None:
    resident = await office.resident()
    row = await office.approved(draft(resident))
    changes: tuple[dict[str, Any], ...] = (
        {"points": 5_000}, {"resident_id": 1}, {"document": "别的"}, {"decided_by": 9}, {"vault_id": office.id()},
        {"status": "pending", "decided_by": None, "decided_at": None, "vault_id": None, "due_at": None},
    )  # fmt: skip
    for change in changes:
        with pytest.raises((IntegrityError, OperationalError), match="cannot be changed"):
            await Adjustment.filter(id=row.id).update(**change)
    await office.posting.redrive()
    with pytest.raises((IntegrityError, OperationalError), match="cannot be changed"):
        await Adjustment.filter(id=row.id).update(attempts=9)
    with pytest.raises((IntegrityError, OperationalError), match="cannot be changed"):
        await Adjustment.filter(id=row.id).delete()


async def test_an_order_is_in_the_trail_before_its_outcome_and_each_once(office: Office) -> None:
    resident, id = await office.resident(), office.id()
    order = FreezeOrder("frozen", "市人民法院", "（2026）执字1号", None)
    cut = WalletDesk(vault=Unreachable(office.app, 0), clock=office.clock)  # type: ignore[arg-type]
    with pytest.raises(VaultUnavailable):
        await cut.freeze(resident, id, order, MAKER)
    assert await office.trail("wallet", resident) == [("wallet_freeze.ordered", "1")]
    for replayed in (False, True):
        done = await office.desk.freeze(resident, id, order, MAKER)
        assert (done.replayed, done.result.freeze) == (replayed, "frozen")
    trail = [("wallet_freeze.ordered", "1"), ("wallet_freeze.posted", "1")]
    assert await office.trail("wallet", resident) == trail
    with refusal("idempotency_mismatch"):
        await office.desk.freeze(resident, id, replace(order, kind="debit_frozen"), MAKER)
    trail += [("wallet_freeze.ordered", "1"), ("wallet_freeze.refused", "1")]
    assert await office.trail("wallet", resident) == trail
    await office.desk.unfreeze(resident, office.id(), "市人民法院", "已履行", CHECKER)
    with refusal("account_not_frozen"):
        await office.desk.unfreeze(resident, office.id(), "市人民法院", "已履行", CHECKER)
    assert [action for action, _ in (await office.trail("wallet", resident))[4:]] == [
        "wallet_unfreeze.ordered", "wallet_unfreeze.posted", "wallet_unfreeze.ordered", "wallet_unfreeze.refused",
    ]  # fmt: skip


async def test_a_refund_names_its_clerk_and_never_exceeds_what_was_spent(office: Office) -> None:
    resident = await office.resident(points=100)
    spent = (await office.app.spend(resident, office.id(), points=60, payee=77)).result
    done = await office.desk.refund(resident, office.id(), spent.id, 40, "商品缺货", MAKER)
    assert (done.result.points_after, done.result.refunded_points) == (80, 40)
    with refusal("refund_too_large"):
        await office.desk.refund(resident, office.id(), spent.id, 21, "商品缺货", MAKER)
    with refusal("posting_not_found"):
        await office.desk.refund(resident, office.id(), office.id(), 1, "商品缺货", MAKER)
    assert await office.desk.accounts.balance("payee", 77) == 20
    rows = await AuditEntry.filter(object_id=str(resident), action="wallet_refund.posted")
    assert [(row.actor_id, row.after["refunded_posting_id"], row.after["points"]) for row in rows] == [
        ("1", str(spent.id), 40)
    ]


async def test_every_look_at_a_wallet_leaves_who_why_and_what_even_when_there_is_none(office: Office) -> None:
    resident = await office.resident(points=5)
    look = await office.desk.look(resident, "wallet", "objection", "case-7", CHECKER)
    assert (await look.wallet()).points == 5
    nobody = await office.desk.look(1, "wallet", "enquiry", None, CHECKER)
    with refusal("wallet_not_open"):
        await nobody.wallet()
    rows = await fetch(
        "SELECT object_id, actor_id, after FROM audit_entry WHERE action = 'wallet.read' AND object_id = ANY ($1)",
        [str(resident), "1"],
    )
    assert [(row["object_id"], row["actor_id"]) for row in rows] == [(str(resident), "2"), ("1", "2")]
    (first,) = await AuditEntry.filter(action="wallet.read", object_id=str(resident))
    assert first.after == {"what": "wallet", "purpose": "objection", "reference": "case-7"}
