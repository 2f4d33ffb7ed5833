"""Who is held out of a campaign: decided by keyed hash alone, so it needs no table and never changes."""

from __future__ import annotations

from typing import Final

from server.kit.crypto import BlindIndex

WHOLE_BP: Final = 10_000


def is_held_out(index: BlindIndex, campaign_id: int, resident_id: int, share_bp: int) -> bool:
    """Whether this resident, a natural person, belongs to the campaign's hold-out of `share_bp` basis points.

    The same for all versions of a campaign; independent between campaigns; a larger share holds out everybody whom a
    smaller one did, so that raising it moves nobody back. Without the key nobody can choose a side.
    """
    place = int.from_bytes(index.of(str(resident_id), purpose=f"hold_out:{campaign_id}")[:8], "big")
    return place * WHOLE_BP >> 64 < share_bp
