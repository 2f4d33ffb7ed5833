"""Identifiers that carry their time.

UUIDv7 (RFC 9562) for what clients and counters name; UUIDv8 for jobs, made from the business event so that a rerun
names the same posting and a client can never occupy it (D23).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from uuid import UUID


def _stamp(at: datetime, version: int, rest: int) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    value = (milliseconds << 80) | (rest & ((1 << 80) - 1))
    value = (value & ~(0xF << 76)) | (version << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def uuid7(at: datetime) -> UUID:
    """A fresh random UUIDv7 stamped with `at`."""
    return _stamp(at, 7, secrets.randbits(80))


def uuid8(at: datetime, kind: str, source_id: str, key: bytes) -> UUID:
    """The job id of (`kind`, `source_id`): the same inputs always give the same id. `at` is the business event's
    time."""
    digest = hmac.new(key, f"{kind}\0{source_id}".encode(), hashlib.sha256).digest()
    return _stamp(at, 8, int.from_bytes(digest[:10], "big"))


def version_of(value: UUID) -> int:
    """The version nibble, also for variants that `uuid.UUID.version` does not know."""
    return (value.int >> 76) & 0xF
