"""Administrators on a real PostgreSQL, as the application's role."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import pyotp
import pytest

from server.kit.audit import Actor
from server.kit.db import fetch
from server.people.errors import (
    AdminLoginLocked,
    AdminLoginRefused,
    SessionRevoked,
    UsernameTaken,
)
from server.people.models import Administrator, Session
from tests.support.people import PASSWORD, Room, claims_of, login


async def new_admin(room: Room, roles: tuple[str, ...] = ("editor",)) -> tuple[str, pyotp.TOTP, int]:
    username = f"admin{secrets.token_hex(4)}"
    secret = pyotp.random_base32()
    made = await room.administrators.create_admin(username, PASSWORD, roles=roles, totp_secret=secret)
    assert made.otpauth_uri.startswith("otpauth://totp/")
    return username, pyotp.TOTP(secret), made.id


async def test_an_administrator_logs_in_with_password_and_a_code_that_works_once(room: Room) -> None:
    username, totp, admin_id = await new_admin(room)
    code = totp.at(room.clock.now())
    done = await room.administrators.log_in(username, PASSWORD, code, remote_ip="10.0.0.1")
    caller = await room.sessions.check(claims_of(done.tokens))
    assert (caller.kind, caller.admin_id) == ("admin", admin_id)
    assert "campaign.edit" in caller.scopes
    assert "campaign.activate" not in caller.scopes
    with pytest.raises(AdminLoginRefused):
        await room.administrators.log_in(username, PASSWORD, code, remote_ip="10.0.0.1")


async def test_one_code_used_twice_at_the_same_moment_opens_one_session(room: Room) -> None:
    username, totp, admin_id = await new_admin(room)
    code = totp.at(room.clock.now())
    answers = await asyncio.gather(
        *(room.administrators.log_in(username, PASSWORD, code, remote_ip="10.0.0.2") for _ in range(4)),
        return_exceptions=True,
    )
    assert [isinstance(answer, BaseException) for answer in answers].count(False) == 1
    assert await Session.filter(administrator_id=admin_id).count() == 1


async def test_unknown_names_and_wrong_passwords_get_the_same_answer_and_then_a_growing_delay(room: Room) -> None:
    username, totp, _ = await new_admin(room)
    for name in (username, f"nobody{secrets.token_hex(4)}"):
        ip = f"ip-of-{name}"
        for _ in range(5):
            with pytest.raises(AdminLoginRefused):
                await room.administrators.log_in(name, "wrong password!", "000000", remote_ip=ip)
        with pytest.raises(AdminLoginLocked) as locked:
            await room.administrators.log_in(name, PASSWORD, totp.at(room.clock.now()), remote_ip=ip)
        assert locked.value.retry_after_s is not None
        assert 25 <= locked.value.retry_after_s <= 31
    room.clock.offset = timedelta(seconds=32)
    await room.administrators.log_in(username, PASSWORD, totp.at(room.clock.now()), remote_ip="elsewhere")
    room.clock.offset = timedelta(seconds=64)
    with pytest.raises(AdminLoginRefused):
        await room.administrators.log_in(username, "wrong password!", "000000", remote_ip="elsewhere")


async def test_guesses_sent_at_once_are_no_better_than_guesses_in_a_row(room: Room) -> None:
    username, _, _ = await new_admin(room)
    answers = await asyncio.gather(
        *(room.administrators.log_in(username, f"guess number {n}", "0", remote_ip=f"ip{n}") for n in range(20)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers].count(AdminLoginRefused) == 5
    assert [type(answer) for answer in answers].count(AdminLoginLocked) == 15


async def test_a_disabled_administrator_is_out_everywhere(room: Room) -> None:
    username, totp, admin_id = await new_admin(room)
    done = await room.administrators.log_in(username, PASSWORD, totp.at(room.clock.now()), remote_ip="10.0.0.3")
    await room.administrators.disable(admin_id, by=Actor(kind="system", id="cli"))
    with pytest.raises(SessionRevoked):
        await room.sessions.check(claims_of(done.tokens))
    with pytest.raises(SessionRevoked):
        await room.sessions.refresh(done.tokens.refresh_token)
    room.clock.offset = timedelta(seconds=31)
    with pytest.raises(AdminLoginRefused):
        await room.administrators.log_in(username, PASSWORD, totp.at(room.clock.now()), remote_ip="10.0.0.3")


async def test_accounts_are_audited_and_their_names_unique(room: Room) -> None:
    username, _, admin_id = await new_admin(room)
    with pytest.raises(UsernameTaken):
        await room.administrators.create_admin(username, PASSWORD, roles=("editor",))
    entries = await fetch(
        "SELECT action, actor_kind FROM audit_entry WHERE object_kind = 'administrator' AND object_id = $1",
        str(admin_id),
    )
    assert entries == [{"action": "administrator.create", "actor_kind": "system"}]
    stored = await Administrator.get(id=admin_id)
    assert stored.password_hash.startswith("$argon2id$")
    assert stored.roles == ["editor"]


async def test_old_families_and_old_failure_counts_are_cleaned_away(room: Room) -> None:
    tokens, _ = await login(room)
    room.clock.offset = timedelta(days=9)
    while await room.sessions.purge():
        pass
    assert await Session.get_or_none(id=tokens.session_id) is None
    await room.administrators.lockout.purge()
    assert await fetch("SELECT 1 FROM login_lock") == []
