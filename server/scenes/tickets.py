"""The ticket between "usable" and "redeemed": opaque to the merchant, stored nowhere (D29).

    ticket = base64url( key version 2 B | nonce 12 B | AES-256-GCM( claim ) )
    claim  = owner 8 B | credential 16 B | redemption 16 B | expiry in µs 8 B | counted 1 B

It says which claim it speaks of. Whether the claim was this terminal's, and whether it still counts, the vault decides.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kit.crypto import Keyring
from server.scenes.errors import TicketInvalid

_BODY = struct.Struct(">q16s16sq?")
_PURPOSE = b"chengxin ticket 1"
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Ticket:
    """A claim on a credential, until `expires_at`. `counted`: its terms have limits at places."""

    owner: int
    credential_id: UUID
    redemption_id: UUID
    expires_at: datetime
    counted: bool = False


class TicketOffice:
    """Seals and opens tickets. Old key versions open what they sealed: keep them 48 hours, as long as replays may
    come."""

    def __init__(self, keyring: Keyring) -> None:
        version, _ = keyring.current
        self._version = version.to_bytes(2, "big")
        self._ciphers = {number.to_bytes(2, "big"): AESGCM(keyring.key(number)) for number in keyring.versions}

    def seal(self, ticket: Ticket) -> str:
        """The text a merchant carries to the redemption."""
        nonce = os.urandom(_NONCE)
        body = _BODY.pack(
            ticket.owner,
            ticket.credential_id.bytes,
            ticket.redemption_id.bytes,
            int(ticket.expires_at.timestamp() * 1_000_000),
            ticket.counted,
        )
        sealed = self._version + nonce + self._ciphers[self._version].encrypt(nonce, body, _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, text: str) -> Ticket:
        """Raises `TicketInvalid` for anything we did not seal."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            cipher = self._ciphers[sealed[:2]]
            body = cipher.decrypt(sealed[2 : 2 + _NONCE], sealed[2 + _NONCE :], _PURPOSE)
            owner, credential, redemption, expires_us, counted = _BODY.unpack(body)
        except (binascii.Error, ValueError, KeyError, InvalidTag, struct.error):
            raise TicketInvalid(field="ticket") from None
        return Ticket(
            owner,
            UUID(bytes=credential),
            UUID(bytes=redemption),
            datetime.fromtimestamp(expires_us / 1_000_000, UTC),
            counted,
        )
