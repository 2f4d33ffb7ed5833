"""Sealing, cursors, settings, and counts shared through a cache that may be gone."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config import Settings, UnsafeSettings
from server.kit.counts import WindowCounts
from server.kit.crypto import BlindIndex, Envelope, Keyring, SealBroken
from server.kit.errors import InvalidField, RateLimited
from server.kit.paging import cursor_after, cursor_number, cursor_uuid, decode_cursor, encode_cursor
from server.kit.redis import Cache
from tests.support.serving import key, settings

OLD, BOTH = Keyring.parse(f"1:{key(1)}"), Keyring.parse(f"1:{key(1)},2:{key(2)}")


@given(st.text(max_size=200))
def test_what_is_sealed_opens_again_under_a_newer_keyring(plain: str) -> None:
    sealed = Envelope(OLD).seal(plain, purpose="name")
    assert Envelope(BOTH).open(sealed, purpose="name") == plain
    assert Envelope(BOTH).version_of(sealed) == 1
    assert Envelope(BOTH).version_of(Envelope(BOTH).seal(plain, purpose="name")) == 2


def test_a_seal_holds_for_one_purpose_and_against_every_changed_byte() -> None:
    sealed = Envelope(OLD).seal("王芳", purpose="name")
    assert "王芳".encode() not in sealed
    with pytest.raises(SealBroken):
        Envelope(OLD).open(sealed, purpose="phone")
    for at in range(len(sealed)):
        broken = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            Envelope(OLD).open(broken, purpose="name")


def test_two_seals_of_one_value_differ_and_their_index_does_not() -> None:
    envelope, index = Envelope(OLD), BlindIndex(b"k" * 32)
    assert envelope.seal("a", purpose="p") != envelope.seal("a", purpose="p")
    assert index.of("a", purpose="p") == index.of("a", purpose="p") != index.of("a", purpose="q")
    assert len(index.of("a", purpose="p")) == 32


@pytest.mark.parametrize("text", ["", "1:x", "x:" + key(1), "1:" + base64.b64encode(b"short").decode(), "0:" + key(1)])
def test_a_bad_keyring_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        Keyring.parse(text)
    assert key(1) not in str(refused.value)


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=10)), min_size=1, max_size=3))
def test_a_cursor_tells_what_it_was_made_of(position: list[int | str]) -> None:
    try:
        assert decode_cursor(encode_cursor(*position)) == tuple(position)
    except InvalidField:
        assert len(encode_cursor(*position)) > 256


@pytest.mark.parametrize(
    "text", ["x", "!!", "e30", "W10x", encode_cursor("a"), encode_cursor(1, 2), encode_cursor(2**70), "A" * 999]
)
def test_a_cursor_nobody_made_is_a_bad_field(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        decode_cursor(text, int)
    assert refused.value.field == "cursor"


def test_no_cursor_is_the_first_page() -> None:
    assert (decode_cursor(None, int), cursor_number(None), cursor_uuid(None)) == (None, None, None)


def test_a_full_page_is_followed_from_its_last_row_and_any_other_is_the_last() -> None:
    ids = [UUID(int=number) for number in (9, 7)]
    assert cursor_number(cursor_after([9, 7], 2, lambda row: row)) == 7
    assert cursor_uuid(cursor_after(ids, 2, lambda row: row)) == ids[1]
    assert (cursor_after([9], 2, lambda row: row), cursor_after([], 2, lambda row: row)) == (None, None)
    with pytest.raises(InvalidField) as refused:
        cursor_uuid(encode_cursor("7"))
    assert refused.value.field == "cursor"


def test_the_count_is_of_one_minute_and_one_key() -> None:
    now = [120.0]
    counts = WindowCounts(Cache(None), unix=lambda: now[0])
    for _ in range(3):
        counts.hit("l", "a", 3)
    with pytest.raises(RateLimited) as refused:
        counts.hit("l", "a", 3)
    assert refused.value.retry_after_s == 61
    counts.hit("l", "b", 3)
    now[0] = 180.0
    counts.hit("l", "a", 3)


async def test_processes_agree_through_the_cache_and_count_alone_without_it(valkey: str) -> None:
    caches = [Cache(valkey), Cache(valkey)]
    one, two = (WindowCounts(cache, unix=lambda: 600.0) for cache in caches)
    for _ in range(2):
        one.hit("l", "a", 4)
        two.hit("l", "a", 4)
    assert await one.sync() and await two.sync()
    with pytest.raises(RateLimited):
        two.hit("l", "a", 4)
    nowhere = Cache("redis://127.0.0.1:1/0")
    alone = WindowCounts(nowhere, unix=lambda: 600.0)
    for _ in range(4):
        alone.hit("l", "a", 4)
    assert not await alone.sync()
    with pytest.raises(RateLimited):
        alone.hit("l", "a", 4)
    for cache in (*caches, nowhere):
        await cache.close()


async def test_a_cache_that_is_gone_answers_nothing_and_says_so() -> None:
    cache = Cache("redis://127.0.0.1:1/0")
    assert (await cache.get("a"), await cache.set("a", "b", ttl_s=1), await cache.ping()) == (None, False, False)
    assert [message async for message in cache.subscribe("c")] == []
    assert not cache.healthy
    await cache.close()


PRODUCTION = {
    "environment": "production",
    "worker_database_url": "postgresql://w@db/x",
    "wechat_appid": "wx1234567890",
    "wechat_secret": "s" * 32,
    "realname_base": "https://id.example.gov.cn",
    "realname_key": "r" * 32,
}


def test_settings_fit_for_production_pass() -> None:
    settings(**PRODUCTION).check_production()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"wechat_api_base": "http://127.0.0.1:9001"}, "wechat_api_base"),
        ({"realname_base": "https://127.0.0.1/x"}, "realname_base"),
        ({"wechat_secret": ""}, "wechat_secret"),
        ({"job_key": base64.b64encode(b"chengxin-sandbox-job-key-0123456789").decode()}, "job_key"),
        ({"job_key": key(3)}, "must differ"),
    ],
)
def test_a_production_start_refuses_what_belongs_to_a_sandbox(change: dict[str, str], named: str) -> None:
    with pytest.raises(UnsafeSettings, match=named):
        settings(**(PRODUCTION | change)).check_production()


def test_no_secret_is_printed() -> None:
    chosen = settings(**PRODUCTION)
    for number in range(1, 7):
        assert key(number) not in repr(chosen)
    assert "postgresql" not in repr(chosen)


def test_a_bad_secret_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError) as refused:
        Settings(**(settings().model_dump() | {"token_keys": "k1:tooshort"}))
    assert "tooshort" not in str(refused.value)
