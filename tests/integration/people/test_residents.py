"""Residents on a real PostgreSQL, as the application's role."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs
from tortoise.exceptions import IntegrityError

from server.kit.db import fetch
from server.kit.errors import TemporarilyUnavailable
from server.kit.outbox import Event
from server.people.errors import (
    IdentityAlreadyBound,
    IdNumberInvalid,
    MinorRefused,
    RealNameLocked,
    RealNameMismatch,
)
from server.people.models import Resident
from server.people.sessions import Owner
from tests.support.people import Room, id_number, login


async def test_one_person_with_ten_openids_at_once_is_one_resident_with_one_fact(room: Room) -> None:
    number = id_number()
    identities = [(await login(room))[1] for _ in range(10)]
    bound = await asyncio.gather(*(room.residents.bind_identity(each, "张三", number) for each in identities))
    assert len({each.resident_id for each in bound}) == 1
    assert [each.first for each in bound].count(True) == 1
    resident_id = bound[0].resident_id
    facts = await fetch("SELECT kind, source_id FROM fact WHERE resident_id = $1", resident_id)
    assert facts == [{"kind": "identity_bound", "source_id": str(resident_id)}]
    key = f"resident:{resident_id}"
    events = await fetch("SELECT payload::text FROM event WHERE kind = 'identity_bound' AND key = $1", key)
    assert len(events) == 10
    assert set(room.outside.opened) == {resident_id}


async def test_one_openid_binding_two_people_at_once_gets_exactly_one_of_them(room: Room) -> None:
    _, identity_id = await login(room)
    residents_before = await Resident.all().count()
    answers = await asyncio.gather(
        room.residents.bind_identity(identity_id, "张三", id_number("19900101")),
        room.residents.bind_identity(identity_id, "李四", id_number("19910101")),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Bound", "IdentityAlreadyBound"]
    assert await Resident.all().count() == residents_before + 1


async def test_binding_again_answers_the_same_and_asks_nobody_and_another_person_is_refused(room: Room) -> None:
    _, identity_id = await login(room)
    number = id_number()
    first = await room.residents.bind_identity(identity_id, "张三", number)
    again = await room.residents.bind_identity(identity_id, "张三", number.lower())
    assert again.resident_id == first.resident_id
    with pytest.raises(IdentityAlreadyBound):
        await room.residents.bind_identity(identity_id, "李四", id_number("19910101"))
    assert room.outside.asked == 1


async def test_minors_wrong_numbers_and_foreign_names_leave_no_trace(room: Room) -> None:
    _, identity_id = await login(room)
    today: datetime = room.clock.now()
    before = await Resident.all().count()
    number = id_number()
    room.outside.names[number] = "王五"
    with pytest.raises(RealNameMismatch):
        await room.residents.bind_identity(identity_id, "张三", number)
    with pytest.raises(IdNumberInvalid):
        await room.residents.bind_identity(identity_id, "张三", number[:-1] + ("1" if number[-1] != "1" else "2"))
    with pytest.raises(MinorRefused):
        await room.residents.bind_identity(identity_id, "张三", id_number(f"{today.year - 17}0101"))
    assert await Resident.all().count() == before
    assert room.outside.asked == 1


async def test_the_wallet_is_opened_by_the_event_when_the_vault_was_down(room: Room) -> None:
    _, identity_id = await login(room)
    room.outside.vault_is_down = True
    bound = await room.residents.bind_identity(identity_id, "张三", id_number())
    assert room.outside.opened == []
    room.outside.vault_is_down = False
    key = f"resident:{bound.resident_id}"
    event = await Event.get(kind="identity_bound", key=key)
    await room.residents.on_identity_bound(event)
    await room.residents.on_identity_bound(await Event.filter(kind="fact_recorded").first())
    assert room.outside.opened == [bound.resident_id]


async def test_personal_data_is_sealed_in_the_table_and_given_back_to_its_owner_only(room: Room) -> None:
    _, identity_id = await login(room)
    number = id_number()
    resident_id = (await room.residents.bind_identity(identity_id, "欧阳修", number)).resident_id
    await room.residents.add_phone(identity_id, "code")
    profile = await room.residents.profile(identity_id)
    assert (profile.name, profile.id_number, profile.phone) == ("欧阳修", number, "13812340000")
    assert number not in repr(profile)
    assert "欧阳修" not in repr(profile)
    row = (await fetch("SELECT row_to_json(r)::text AS t FROM resident r WHERE id = $1", resident_id))[0]["t"]
    assert number.encode().hex() not in row
    assert "欧阳修".encode().hex() not in row


async def test_the_database_refuses_to_move_an_openid_or_to_wake_a_session(room: Room) -> None:
    tokens, identity_id = await login(room)
    _, other = await login(room)
    await room.residents.bind_identity(identity_id, "张三", id_number())
    stranger = (await room.residents.bind_identity(other, "李四", id_number("19910101"))).resident_id
    await room.sessions.log_out(str(tokens.session_id))
    with pytest.raises(IntegrityError):
        await fetch("UPDATE identity SET resident_id = $1 WHERE id = $2", stranger, identity_id)
    with pytest.raises(IntegrityError):
        await fetch("UPDATE session SET revoked_at = NULL, revoked_why = NULL WHERE id = $1", tokens.session_id)
    with pytest.raises(IntegrityError):
        await room.sessions.issue(aud="admin", subject="1", extra_claims={}, owner=Owner(identity_id=identity_id))


async def test_logs_and_errors_name_no_person(room: Room) -> None:
    _, identity_id = await login(room)
    number, other = id_number(), id_number("19910101")
    room.outside.names[other] = "王五"
    room.outside.vault_is_down = True
    with capture_logs() as logs:
        await room.residents.bind_identity(identity_id, "诸葛亮", number)
        with pytest.raises(IdentityAlreadyBound) as refused:
            await room.residents.bind_identity(identity_id, "诸葛亮", other)
    assert [entry["event"] for entry in logs] == ["open_wallet_failed"]
    told = f"{logs}{refused.value!r}{refused.value.field}"
    assert not any(secret in told for secret in (number, other, "诸葛亮", "王五"))


async def test_the_verification_is_no_oracle_after_five_wrong_pairs(room: Room) -> None:
    _, identity_id = await login(room)
    number = id_number()
    room.outside.names[number] = "王五"
    for _ in range(5):
        with pytest.raises(RealNameMismatch):
            await room.residents.bind_identity(identity_id, "张三", number)
    with pytest.raises(RealNameLocked) as locked:
        await room.residents.bind_identity(identity_id, "王五", number)
    assert 590 <= (locked.value.retry_after_s or 0) <= 601
    assert room.outside.asked == 5
    room.clock.offset = timedelta(seconds=601)
    await room.residents.bind_identity(identity_id, "王五", number)


async def test_an_outage_of_the_verification_counts_for_nothing(room: Room) -> None:
    _, identity_id = await login(room)
    room.outside.verification_is_down = True
    for _ in range(8):
        with pytest.raises(TemporarilyUnavailable):
            await room.residents.bind_identity(identity_id, "张三", id_number())
    room.outside.verification_is_down = False
    await room.residents.bind_identity(identity_id, "张三", id_number())
