"""The K1 code: 20 digits `PP HHHHHHHHHH OOOOOOO C` that a phone computes and a merchant reads.

    PP  2   programme prefix (setting)
    H  10   random one-time handle
    O   7   one-time password of the current 30-second step: HMAC-SHA256(seed, H ‖ be64(unix / 30)), truncated as
            RFC 4226 does, on 8 bytes, mod 10^7
    C   1   Luhn check digit

Seeds are derived, never stored: seed = HMAC-SHA256(K_day, H)[:20] with a key of the day of issue (D27). Keys are
passed in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import date, timedelta

STEP_S = 30
CODE_DIGITS = 20
HANDLE_DIGITS = 10
OTP_MODULUS = 10**7
SEED_BYTES = 20
ACCEPTED_STEPS = (0, -1, 1)


class CodeMalformed(ValueError):
    """Not 20 ASCII digits with our prefix and a right check digit."""


@dataclass(frozen=True, slots=True)
class ScannedCode:
    """A well-formed code, taken apart; nothing is known yet about its being genuine."""

    handle: int
    otp: int


def luhn_digit(digits: str) -> int:
    """The Luhn check digit of a string of ASCII digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if place % 2 == 0:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return -total % 10


def new_handle() -> int:
    """A fresh random handle; 33 bits, not derived from anybody."""
    return secrets.randbelow(10**HANDLE_DIGITS)


def seed_of(key: bytes, day: date, handle: int) -> bytes:
    """The 20-byte seed of a handle issued on `day`."""
    day_key = hmac.digest(key, b"chengxin K1 " + day.isoformat().encode(), hashlib.sha256)
    return hmac.digest(day_key, f"{handle:010d}".encode(), hashlib.sha256)[:SEED_BYTES]


def otp_of(seed: bytes, handle: int, unix_s: float) -> int:
    """The one-time password of the 30-second step that `unix_s` lies in."""
    return _otp(seed, handle, int(unix_s // STEP_S))


def code_of(prefix: str, handle: int, seed: bytes, unix_s: float) -> str:
    """The 20 digits to show at `unix_s`: the reference for every client."""
    body = f"{prefix}{handle:010d}{otp_of(seed, handle, unix_s):07d}"
    return f"{body}{luhn_digit(body)}"


def parse_code(code: str, prefix: str) -> ScannedCode:
    """Takes a scanned code apart; raises `CodeMalformed` unless it is 20 ASCII digits, our prefix, and the check
    digit is right."""
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        raise CodeMalformed
    if not code.startswith(prefix) or luhn_digit(code[:-1]) != int(code[-1]):
        raise CodeMalformed
    return ScannedCode(handle=int(code[2:12]), otp=int(code[12:19]))


def code_is_current(key: bytes, today: date, code: ScannedCode, unix_s: float) -> bool:
    """Whether the one-time password is right for this step or a neighbour, under today's or yesterday's key."""
    step = int(unix_s // STEP_S)
    right = False
    for day in (today, today - timedelta(days=1)):
        seed = seed_of(key, day, code.handle)
        for shift in ACCEPTED_STEPS:
            right |= hmac.compare_digest(b"%07d" % _otp(seed, code.handle, step + shift), b"%07d" % code.otp)
    return right


def _otp(seed: bytes, handle: int, step: int) -> int:
    digest = hmac.digest(seed, f"{handle:010d}".encode() + step.to_bytes(8, "big"), hashlib.sha256)
    offset = digest[-1] & 0x0F
    return (int.from_bytes(digest[offset : offset + 8], "big") & 0x7FFF_FFFF_FFFF_FFFF) % OTP_MODULUS
