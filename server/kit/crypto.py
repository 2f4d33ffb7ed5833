"""Personal data at rest: sealed values and blind indexes.

    sealed = magic 1 B | key version 2 B | wrap nonce 12 B | wrapped data key 48 B | nonce 12 B | ciphertext + tag

Every value has its own data key, wrapped by the key-encryption key of some version, so a new version can be introduced
without touching what is stored. `purpose` is authenticated with both layers: a sealed phone cannot be opened as a name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_MAGIC: Final = b"\x01"
_NONCE: Final = 12
_WRAPPED: Final = KEY_BYTES + 16
_HEAD: Final = 1 + 2 + _NONCE + _WRAPPED + _NONCE


class SealBroken(ValueError):
    """A sealed value cannot be opened: another purpose, an unknown key version or changed bytes."""


class Keyring:
    """Keys by version; the highest version seals, every version opens."""

    __slots__ = ("_keys", "current")

    def __init__(self, keys: dict[int, bytes]) -> None:
        if not keys:
            raise ValueError("a keyring holds at least one key")
        for version, key in keys.items():
            if not 0 < version < 1 << 16 or len(key) != KEY_BYTES:
                raise ValueError("a key has a version from 1 to 65535 and 32 bytes")
        self._keys = dict(keys)
        highest = max(keys)
        self.current: tuple[int, bytes] = (highest, keys[highest])

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read "1:<base64 of 32 bytes>,2:<…>". Raises ValueError without repeating the text."""
        keys: dict[int, bytes] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            version, _, encoded = part.partition(":")
            try:
                number, key = int(version), base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise ValueError("a keyring is written version:base64, separated by commas") from None
            if number in keys:
                raise ValueError("a key version appears twice")
            keys[number] = key
        return cls(keys)

    def key(self, version: int) -> bytes:
        """The key of one version. Raises SealBroken when it is not held."""
        try:
            return self._keys[version]
        except KeyError:
            raise SealBroken(f"key version {version} is not held") from None

    @property
    def versions(self) -> list[int]:
        """Every version held, ascending."""
        return sorted(self._keys)

    def __repr__(self) -> str:
        return f"Keyring(versions={self.versions})"


class Envelope:
    """Seals text for storage and opens it again."""

    __slots__ = ("_keyring",)

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, plain: str, *, purpose: str) -> bytes:
        """Encrypt under a fresh data key; two seals of the same text differ."""
        version, wrapping_key = self._keyring.current
        about = purpose.encode()
        data_key, wrap_nonce, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE), os.urandom(_NONCE)
        start = _MAGIC + version.to_bytes(2, "big")
        wrapped = AESGCM(wrapping_key).encrypt(wrap_nonce, data_key, start + about)
        return start + wrap_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, plain.encode(), about)

    def open(self, sealed: bytes, *, purpose: str) -> str:
        """Decrypt what `seal` made for the same purpose. Raises SealBroken."""
        sealed = bytes(sealed)
        if len(sealed) < _HEAD + 16 or sealed[:1] != _MAGIC:
            raise SealBroken("not a sealed value")
        start, about = sealed[:3], purpose.encode()
        wrap_nonce, wrapped = sealed[3 : 3 + _NONCE], sealed[3 + _NONCE : 3 + _NONCE + _WRAPPED]
        nonce, body = sealed[_HEAD - _NONCE : _HEAD], sealed[_HEAD:]
        try:
            wrapping_key = self._keyring.key(int.from_bytes(start[1:], "big"))
            data_key = AESGCM(wrapping_key).decrypt(wrap_nonce, wrapped, start + about)
            return AESGCM(data_key).decrypt(nonce, body, about).decode()
        except InvalidTag:
            raise SealBroken("the seal does not hold") from None

    def version_of(self, sealed: bytes) -> int:
        """The key version a value was sealed with, to find what still waits for a new key."""
        return int.from_bytes(bytes(sealed[1:3]), "big")


class BlindIndex:
    """A keyed hash by which a value can be looked up without being stored."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError("an index key has at least 32 bytes")
        self._key = key

    def of(self, value: str, *, purpose: str) -> bytes:
        """32 bytes that are equal for equal values of one purpose and say nothing about the value without the key."""
        return hmac.new(self._key, f"{purpose}\0{value}".encode(), hashlib.sha256).digest()
