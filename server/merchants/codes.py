"""One-time codes that people read out and type in: invitations and enrolments.

Ten characters of Crockford's base 32 (50 random bits), shown as `XXXXX-XXXXX`. Only a keyed hash is stored.
"""

from __future__ import annotations

import secrets

from server.kit.crypto import BlindIndex

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
_LOOK_ALIKE = str.maketrans("OIL", "011")


def draw_code() -> str:
    """A fresh code in the form people see."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{text[:5]}-{text[5:]}"


def normalise(typed: str) -> str | None:
    """What was typed without spaces, hyphens, case and look-alikes; None when it cannot be a code."""
    text = "".join(typed.split()).replace("-", "").upper().translate(_LOOK_ALIKE)
    if len(text) != LENGTH or any(letter not in ALPHABET for letter in text):
        return None
    return text


def hash_of(index: BlindIndex, typed: str, *, purpose: str) -> bytes | None:
    """The stored form of a typed code (32 bytes); None when it cannot be a code."""
    text = normalise(typed)
    return None if text is None else index.of(text, purpose=purpose)
