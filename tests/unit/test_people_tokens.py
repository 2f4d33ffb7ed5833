from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest

from server.people.sessions import may_repeat
from server.people.tokens import TokenKeys, is_genuine, read_refresh, refresh_token, sign_access

SID = UUID("01890000-0000-7000-8000-000000000001")
OLD, NEW = b"o" * 32, b"n" * 32
NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)


def test_the_successor_of_a_refresh_token_is_the_same_in_every_process() -> None:
    first = refresh_token(OLD, session_id=SID, generation=3, salt=b"s" * 32)
    again = refresh_token(bytes(OLD), session_id=UUID(str(SID)), generation=3, salt=b"s" * 32)
    assert first == again
    assert first != refresh_token(OLD, session_id=SID, generation=4, salt=b"s" * 32)


def test_a_refresh_token_needs_both_the_key_and_the_salt() -> None:
    claim = read_refresh(refresh_token(OLD, session_id=SID, generation=0, salt=b"s" * 32))
    assert claim is not None
    assert (claim.session_id, claim.generation) == (SID, 0)
    assert is_genuine(claim, key=OLD, salt=b"s" * 32)
    assert not is_genuine(claim, key=NEW, salt=b"s" * 32)
    assert not is_genuine(claim, key=OLD, salt=b"t" * 32)


@pytest.mark.parametrize("text", ["", "x", "é" * 71, "A" * 71, "AAAA" * 40, "=" * 71, "a b" * 23])
def test_text_that_is_no_refresh_token_is_recognised_without_an_error(text: str) -> None:
    assert read_refresh(text) is None


def test_an_access_token_names_its_key_and_keeps_the_claims_of_the_house() -> None:
    keys = TokenKeys(keys={"1": OLD, "2": NEW}, current="2")
    extra = {"aud": "admin", "sub": "999", "role": "cashier"}
    token, ends = sign_access(keys, aud="merchant", subject="7", session_id=SID, extra=extra, now=NOW, ttl_s=600)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "2", "typ": "JWT"}
    claims = jwt.decode(token, NEW, algorithms=["HS256"], audience="merchant", options={"verify_exp": False})
    assert claims["sub"] == "7"
    assert claims["role"] == "cashier"
    assert claims["sid"] == str(SID)
    assert claims["exp"] - claims["iat"] == 600
    assert ends == NOW + timedelta(seconds=600)


def test_token_keys_refuse_short_keys_and_a_current_kid_without_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TokenKeys(keys={"1": b"short"}, current="1")
    with pytest.raises(ValueError, match="no key"):
        TokenKeys(keys={"1": OLD}, current="2")
    assert "oooo" not in repr(TokenKeys(keys={"1": OLD}, current="1"))


@pytest.mark.parametrize(
    ("generation", "current", "after_s", "expected"),
    [(0, 1, 0, True), (0, 1, 30, True), (0, 1, 31, False), (0, 2, 1, False), (1, 1, 1, False)],
)
def test_only_the_token_used_last_may_come_again_and_only_within_thirty_seconds(
    generation: int, current: int, after_s: int, expected: bool
) -> None:
    assert may_repeat(generation, current, NOW, NOW + timedelta(seconds=after_s)) is expected


def test_the_first_key_of_the_settings_signs() -> None:
    assert TokenKeys.of({"b": NEW, "a": OLD}).current == "b"
