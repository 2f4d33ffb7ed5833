"""The 20 digits (K1) against an independent implementation, whose answers are kept in `tests/vectors/k1.json` for
clients in other languages. `python tests/unit/test_credential_digits.py` prints the file anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.credentials import (
    CodeMalformed,
    code_is_current,
    code_of,
    luhn_digit,
    new_handle,
    otp_of,
    parse_code,
    seed_of,
)

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "k1.json"
KEY = b"credential key of the tests, 32B"
TODAY = date(2026, 11, 23)
NOW = 1_795_400_015  # half-way between two steps
INPUTS = [  # seed, handle, prefix, unix second
    (bytes(range(20)), 1, "81", 0), (bytes(range(20)), 1, "81", 29), (bytes(range(20)), 1, "81", 30),
    (b"\xff" * 20, 9_999_999_999, "81", 1_795_400_009), (b"\xff" * 20, 9_999_999_999, "81", 1_795_400_010),
    (b"\x00" * 20, 0, "81", 1_795_400_039), (b"\x00" * 20, 0, "81", 1_795_400_040),
    (b"12345678901234567890", 1234567890, "81", 59), (b"12345678901234567890", 1234567890, "81", 1_111_111_109),
    (b"12345678901234567890", 1234567890, "28", 1_111_111_111), (b"12345678901234567890", 42, "62", 2_000_000_000),
    (hashlib.sha256(b"seed").digest()[:20], 8_005_551_212, "81", 4_294_967_295),
    (hashlib.sha256(b"seed").digest()[:20], 8_005_551_212, "81", 4_294_967_296),
    (hashlib.sha256(b"far").digest()[:20], 700_000_007, "99", 20_000_000_000),
]  # fmt: skip


def independent_code(seed: bytes, handle: int, prefix: str, unix_s: int) -> str:
    """The form of the code once more, from its description, sharing nothing with `wallet.credentials`."""
    digits = str(handle).zfill(10)
    mac = hmac.new(seed, digits.encode("ascii") + struct.pack(">Q", unix_s // 30), "sha256").digest()
    (word,) = struct.unpack_from(">Q", mac, mac[31] % 16)
    body = prefix + digits + str(word % 2**63 % 10**7).zfill(7)
    doubled = (int(digit) * 2 for digit in body[::-2])
    total = sum(two // 10 + two % 10 for two in doubled) + sum(int(digit) for digit in body[-2::-2])
    return body + str((10 - total % 10) % 10)


def vectors() -> list[dict[str, object]]:
    return [
        {"seed": base64.b64encode(seed).decode(), "handle": str(handle), "prefix": prefix, "unix_s": unix_s,
         "code": independent_code(seed, handle, prefix, unix_s)}
        for seed, handle, prefix, unix_s in INPUTS
    ]  # fmt: skip


def test_the_vectors_on_file_are_those_of_the_independent_implementation() -> None:
    assert json.loads(VECTORS.read_text())["vectors"] == vectors()


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["vectors"], ids=lambda one: one["code"])
def test_the_reference_client_computes_the_vectors(vector: dict) -> None:
    seed, handle = base64.b64decode(vector["seed"]), int(vector["handle"])
    assert code_of(vector["prefix"], handle, seed, vector["unix_s"]) == vector["code"]
    parsed = parse_code(vector["code"], vector["prefix"])
    assert (parsed.handle, parsed.otp) == (handle, otp_of(seed, handle, vector["unix_s"]))


@given(st.binary(min_size=20, max_size=20), st.integers(0, 10**10 - 1), st.integers(0, 2**40))
def test_both_implementations_agree_everywhere(seed: bytes, handle: int, unix_s: int) -> None:
    assert code_of("81", handle, seed, unix_s) == independent_code(seed, handle, "81", unix_s)


def test_a_code_lives_for_one_step() -> None:
    seed = seed_of(KEY, TODAY, 77)
    assert code_of("81", 77, seed, 60) == code_of("81", 77, seed, 89.999)
    assert code_of("81", 77, seed, 60) != code_of("81", 77, seed, 90)


@pytest.mark.parametrize(("digits", "check"), [("7992739871", 3), ("0", 0), ("1", 8), ("411111111111111", 1)])
def test_luhn_gives_the_digits_everybody_knows(digits: str, check: int) -> None:
    assert luhn_digit(digits) == check


@given(st.integers(0, 10**10 - 1), st.integers(0, 18), st.integers(1, 9))
def test_one_digit_misread_is_found(handle: int, place: int, by: int) -> None:
    code = code_of("81", handle, seed_of(KEY, TODAY, handle), NOW)
    wrong = code[:place] + str((int(code[place]) + by) % 10) + code[place + 1 :]
    with pytest.raises(CodeMalformed):
        parse_code(wrong, "81")


GOOD = code_of("81", 77, seed_of(KEY, TODAY, 77), NOW)


@pytest.mark.parametrize(
    "code",
    [
        "", GOOD[:-1], GOOD + "0", " " + GOOD[1:], GOOD[:-1] + " ", GOOD + "\n", GOOD[:-1] + "x",
        GOOD.translate({ord("0") + n: "０１２３４５６７８９"[n] for n in range(10)}),
        GOOD[:-1] + "٣", GOOD[:-1] + "²", "-" + GOOD[1:], "82" + GOOD[2:], GOOD[:-1] + str((int(GOOD[-1]) + 1) % 10),
        independent_code(seed_of(KEY, TODAY, 77), 77, "82", NOW), "8" * 2000, "\x00" * 20,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_a_code_of_ours_is_malformed(code: str) -> None:
    with pytest.raises(CodeMalformed):
        parse_code(code, "81")


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_malformed(text: str) -> None:
    try:
        parse_code(text, "81")
    except CodeMalformed:
        pass
    else:
        assert len(text) == 20 and text.startswith("81")


@pytest.mark.parametrize("skew_s", [0, 14, -14, 15, -15, 30, -30])
def test_a_phone_half_a_minute_off_is_accepted(skew_s: int) -> None:
    code = parse_code(code_of("81", 77, seed_of(KEY, TODAY, 77), NOW + skew_s), "81")
    assert code_is_current(KEY, TODAY, code, NOW)


@pytest.mark.parametrize("start_s", [0, 1, 15, 29])
@pytest.mark.parametrize("skew_s", [61, -61, 90, -90, 3600, -86_400])
def test_a_code_more_than_a_minute_old_or_early_is_refused(skew_s: int, start_s: int) -> None:
    now = NOW - NOW % 30 + start_s
    code = parse_code(code_of("81", 77, seed_of(KEY, TODAY, 77), now + skew_s), "81")
    assert not code_is_current(KEY, TODAY, code, now)


def test_yesterdays_seed_is_accepted_and_older_or_later_ones_are_not() -> None:
    for days, right in ((0, True), (1, True), (2, False), (-1, False)):
        seed = seed_of(KEY, TODAY - timedelta(days=days), 77)
        assert code_is_current(KEY, TODAY, parse_code(code_of("81", 77, seed, NOW), "81"), NOW) is right, days


def test_another_handle_another_key_and_another_day_have_another_seed() -> None:
    seeds = {seed_of(KEY, TODAY, 77), seed_of(KEY, TODAY, 78), seed_of(KEY[::-1], TODAY, 77),
             seed_of(KEY, TODAY - timedelta(days=1), 77)}  # fmt: skip
    assert len(seeds) == 4 and {len(seed) for seed in seeds} == {20}


def test_a_guess_is_right_for_three_steps_of_two_keys_at_most() -> None:
    right = {otp_of(seed_of(KEY, TODAY - timedelta(days=days), 77), 77, NOW + 30 * step)
             for days in (0, 1) for step in (-1, 0, 1)}  # fmt: skip
    assert len(right) <= 6


def test_handles_are_ten_digits_and_spread() -> None:
    handles = [new_handle() for _ in range(2000)]
    assert all(0 <= handle < 10**10 for handle in handles)
    assert len(set(handles)) > 1990 and {handle // 10**9 for handle in handles} == set(range(10))


if __name__ == "__main__":
    print(json.dumps({
        "about": "K1 codes: seed (base64), handle, prefix and unix second give the 20 digits",
        "vectors": vectors(),
    }, indent=1))  # fmt: skip
