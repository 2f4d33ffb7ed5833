"""What a code looks like. No database, no clock.

    QX-7H2K-9MPD-W4RT-C     prefix, twelve characters that nobody can guess, one that catches a slip of the finger

The alphabet has 31 characters, none of which looks like another; 31 is a prime, so the check character (a weighted
sum) notices every single wrong character and every two neighbours changed over. Twelve characters are 59 bits: with a
million codes about, one guess in 8 × 10^11 hits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
LETTERS: Final = 12
GROUP: Final = 4
PREFIX_MAX: Final = 6
#: Codes that others made: long enough not to be guessed at a few tries a minute.
SHORTEST, LONGEST = 8, 40

_VALUE: Final = {letter: value for value, letter in enumerate(ALPHABET)}
_PREFIX: Final = re.compile(rf"^[{ALPHABET}]{{0,{PREFIX_MAX}}}$")
_FOREIGN: Final = re.compile(rf"^[0-9A-Z]{{{SHORTEST},{LONGEST}}}$")
_GAPS: Final = re.compile(r"[\s\-‐-―－_.·]+")


def normal(text: str) -> str:
    """What a code is, however it was typed: full-width characters, small letters and gaps make no difference."""
    return _GAPS.sub("", unicodedata.normalize("NFKC", text)).upper()


def prefix_fits(prefix: str) -> bool:
    """Whether codes may begin so."""
    return _PREFIX.match(prefix) is not None


def foreign_fits(code: str) -> bool:
    """Whether a code that others made, in its normal form, can be typed and is not too easily guessed."""
    return _FOREIGN.match(code) is not None


def check_of(body: str) -> str:
    """The last character of a code with this beginning."""
    return ALPHABET[-sum((place + 2) * _VALUE[letter] for place, letter in enumerate(reversed(body))) % len(ALPHABET)]


def is_slip(code: str) -> bool:
    """Whether this looks like a code of ours in which one character is wrong. Uploaded codes may look so too, so only
    a code that nobody knows is judged by it."""
    ours = LETTERS < len(code) <= PREFIX_MAX + LETTERS + 1 and all(letter in _VALUE for letter in code)
    return ours and check_of(code[:-1]) != code[-1]


def code_of(secret: bytes, prefix: str, ordinal: int) -> str:
    """The code at a place of a batch, in its normal form. Who does not know the batch's secret learns nothing about one
    code from all the others."""
    number = int.from_bytes(hmac.new(secret, b"voucher\0" + ordinal.to_bytes(8, "big"), hashlib.sha256).digest(), "big")
    letters = []
    for _ in range(LETTERS):
        number, value = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[value])
    body = prefix + "".join(letters)
    return body + check_of(body)


def printed(code: str, prefix: str) -> str:
    """A code of ours as it stands on paper, in groups."""
    rest = code[len(prefix) :]
    groups = [prefix] if prefix else []
    return "-".join(groups + [rest[begin : begin + GROUP] for begin in range(0, len(rest), GROUP)])
