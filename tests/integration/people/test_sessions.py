"""Sessions on a real PostgreSQL, as the application's role."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import jwt
import pytest

from server.kit.db import fetch
from server.people.errors import (
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionRevoked,
)
from server.people.models import Identity, Resident, Session
from server.people.tokens import TokenKeys
from tests.support.people import Room, claims_of, id_number, login, sessions_of


async def test_one_openid_is_one_identity_also_when_it_logs_in_thirty_times_at_once(room: Room) -> None:
    code = secrets.token_hex(8)
    done = await asyncio.gather(*(room.sessions.log_in(code) for _ in range(30)))
    assert len({each.identity_id for each in done}) == 1
    assert len({each.tokens.session_id for each in done}) == 30
    row = await Identity.get(id=done[0].identity_id)
    assert code.encode() not in bytes(row.subject_sealed) + bytes(row.subject_hmac)


async def test_the_caller_behind_a_token_is_known_and_sees_the_resident_right_after_binding(room: Room) -> None:
    tokens, identity_id = await login(room)
    before = await room.sessions.check(claims_of(tokens))
    assert (before.kind, before.identity_id, before.resident_id) == ("resident", identity_id, None)
    bound = await room.residents.bind_identity(identity_id, "张三", id_number())
    after = await room.sessions.check(claims_of(tokens))
    assert after.resident_id == bound.resident_id
    assert after.session_id == str(tokens.session_id)


async def test_the_first_log_in_or_refresh_of_a_person_s_day_in_the_city_is_told_once_to_who_asks(room: Room) -> None:
    morning = datetime.combine(room.clock.today() + timedelta(days=2), time(7), room.clock.zone)
    room.clock.offset = morning - datetime.now(UTC)
    tokens, identity_id = await login(room)
    assert await fetch("SELECT FROM fact WHERE kind = 'login_day'") == [], "nobody is known yet"
    number = id_number()
    resident = (await room.residents.bind_identity(identity_id, "张三", number)).resident_id

    async def told() -> list[str]:
        rows = await fetch("SELECT * FROM fact WHERE kind = 'login_day' AND resident_id = $1 ORDER BY id", resident)
        return [row["source_id"] for row in rows]

    tokens = await room.sessions.refresh(tokens.refresh_token)
    assert (await told(), (await Identity.get(id=identity_id)).login_day) == ([], None), "nobody asks for it"
    room.outside.kinds_asked.add("login_day")
    tokens = await room.sessions.refresh(tokens.refresh_token)
    assert await told() == [f"{resident}:{morning.date()}"], "who asks since today is told today"
    (before,) = await fetch("SELECT xmin::text AS x FROM identity WHERE id = $1", identity_id)
    room.clock.offset += timedelta(hours=16, minutes=59)  # 23:59
    tokens = await room.sessions.refresh(tokens.refresh_token)
    assert await fetch("SELECT xmin::text AS x FROM identity WHERE id = $1", identity_id) == [before], "nothing written"
    other = await room.sessions.log_in(secrets.token_hex(8))
    await room.residents.bind_identity(other.identity_id, "张三", number)
    await asyncio.gather(*(room.another_process().refresh(other.tokens.refresh_token) for _ in range(5)))
    assert len(await told()) == 1, "a person, not an account"
    room.clock.offset += timedelta(minutes=2)  # after midnight in the city
    await asyncio.gather(room.sessions.refresh(tokens.refresh_token), room.sessions.refresh(tokens.refresh_token))
    assert await told() == [f"{resident}:{morning.date() + timedelta(days=n)}" for n in (0, 1)]


async def test_claims_of_another_audience_or_subject_are_refused(room: Room) -> None:
    tokens, _ = await login(room)
    for change in ({"aud": "admin"}, {"sub": "1"}, {"sid": "nonsense"}, {"sid": str(UUID(int=7))}):
        with pytest.raises(SessionRevoked):
            await room.sessions.check({**claims_of(tokens), **change})


async def test_a_refresh_token_gives_one_successor_to_many_who_ask_at_once_in_two_processes(room: Room) -> None:
    tokens, _ = await login(room)
    other = room.another_process()
    answers = await asyncio.gather(
        *((room.sessions, other)[turn % 2].refresh(tokens.refresh_token) for turn in range(20))
    )
    assert len({answer.refresh_token for answer in answers}) == 1
    assert answers[0].refresh_token != tokens.refresh_token
    assert (await Session.get(id=tokens.session_id)).generation == 1


async def test_a_used_refresh_token_after_thirty_seconds_revokes_the_whole_family(room: Room) -> None:
    tokens, _ = await login(room)
    second = await room.sessions.refresh(tokens.refresh_token)
    room.clock.offset = timedelta(seconds=29)
    assert (await room.sessions.refresh(tokens.refresh_token)).refresh_token == second.refresh_token
    room.clock.offset = timedelta(seconds=32)
    with pytest.raises(RefreshTokenReused):
        await room.sessions.refresh(tokens.refresh_token)
    with pytest.raises(SessionRevoked):
        await room.sessions.refresh(second.refresh_token)
    with pytest.raises(SessionRevoked):
        await room.sessions.check(claims_of(second))


async def test_a_token_two_generations_old_revokes_the_family_at_once(room: Room) -> None:
    tokens, _ = await login(room)
    second = await room.sessions.refresh(tokens.refresh_token)
    third = await room.sessions.refresh(second.refresh_token)
    with pytest.raises(RefreshTokenReused):
        await room.sessions.refresh(tokens.refresh_token)
    with pytest.raises(SessionRevoked):
        await room.sessions.refresh(third.refresh_token)


async def test_a_forged_refresh_token_is_refused_and_revokes_nobody(room: Room) -> None:
    tokens, _ = await login(room)
    middle = len(tokens.refresh_token) // 2
    letter = "A" if tokens.refresh_token[middle] != "A" else "B"
    forged = tokens.refresh_token[:middle] + letter + tokens.refresh_token[middle + 1 :]
    with pytest.raises(RefreshTokenInvalid):
        await room.sessions.refresh(forged)
    with pytest.raises(RefreshTokenInvalid):
        await room.sessions.refresh(tokens.refresh_token, aud="admin")
    await room.sessions.refresh(tokens.refresh_token)


async def test_a_new_key_signs_new_tokens_and_old_families_live_on_until_their_key_goes(room: Room) -> None:
    tokens, _ = await login(room)
    both = TokenKeys(keys={"1": b"1" * 32, "2": b"2" * 32}, current="2")
    second = await sessions_of(room.clock, room.outside, both).refresh(tokens.refresh_token)
    assert jwt.get_unverified_header(second.access_token)["kid"] == "2"
    only_new = TokenKeys(keys={"2": b"2" * 32}, current="2")
    with pytest.raises(RefreshTokenInvalid):
        await sessions_of(room.clock, room.outside, only_new).refresh(second.refresh_token)


async def test_a_session_ends_with_its_life_and_with_its_log_out(room: Room) -> None:
    tokens, _ = await login(room)
    await room.sessions.check(claims_of(tokens))
    await room.sessions.log_out(str(tokens.session_id))
    await room.sessions.log_out(str(tokens.session_id))
    with pytest.raises(SessionRevoked):
        await room.sessions.check(claims_of(tokens))
    other, _ = await login(room)
    room.clock.offset = timedelta(seconds=86_401)
    with pytest.raises(SessionRevoked):
        await room.sessions.refresh(other.refresh_token)


async def test_another_process_learns_of_a_log_out_within_a_second(room: Room) -> None:
    tokens, identity_id = await login(room)
    await room.residents.bind_identity(identity_id, "张三", id_number())
    other = room.another_process()
    await other.check(claims_of(tokens))
    await room.sessions.log_out(str(tokens.session_id))
    await asyncio.sleep(1.01)
    with pytest.raises(SessionRevoked):
        await other.check(claims_of(tokens))


async def test_log_out_everywhere_ends_every_openid_of_the_person_and_kills_the_codes(room: Room) -> None:
    number = id_number()
    first, one = await login(room)
    second, two = await login(room)
    stranger, _ = await login(room)
    resident_id = (await room.residents.bind_identity(one, "张三", number)).resident_id
    assert (await room.residents.bind_identity(two, "张三", number)).resident_id == resident_id
    await room.sessions.log_out_everywhere(one)
    for tokens in (first, second):
        with pytest.raises(SessionRevoked):
            await room.sessions.check(claims_of(tokens))
    await room.sessions.check(claims_of(stranger))
    assert room.outside.bumped == [resident_id]
    assert (await Resident.get(id=resident_id)).epoch_due_at is None


async def test_codes_are_killed_later_when_the_vault_was_down_at_the_log_out(room: Room) -> None:
    _, identity_id = await login(room)
    resident_id = (await room.residents.bind_identity(identity_id, "张三", id_number())).resident_id
    room.outside.vault_is_down = True
    await room.sessions.log_out_everywhere(identity_id)
    room.outside.vault_is_down = False
    room.clock.offset = timedelta(seconds=6)
    assert await room.sessions.redrive_epochs() == 1
    assert room.outside.bumped == [resident_id]
    assert await room.sessions.redrive_epochs() == 0
