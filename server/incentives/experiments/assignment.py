"""Who is held out of a campaign: decided by keyed hash alone, so it needs no table and never changes."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

WHOLE_BP: Final = 10_000


def is_held_out(key: bytes, campaign_id: int, resident_id: int, holdout_bp: int) -> bool:
    """Whether this resident belongs to the campaign's hold-out of `holdout_bp` basis points.

    The same for all versions of a campaign; independent between campaigns; a larger share holds out everybody whom a
    smaller one did, so that raising it moves nobody back. Without the key nobody can choose a side.
    """
    message = f"holdout:{campaign_id}:{resident_id}".encode()
    place = int.from_bytes(hmac.digest(key, message, hashlib.sha256)[:8], "big")
    return place * WHOLE_BP >> 64 < holdout_bp
