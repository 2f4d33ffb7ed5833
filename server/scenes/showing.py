"""A resident shows a coupon: handles and seeds for the phone, pictures for those without a script.

The phone draws the code itself, every 30 seconds, also without a network; the server only draws on request.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import qrcode
import qrcode.constants
import qrcode.image.svg

from server.kit.clock import Clock
from server.kit.errors import TemporarilyUnavailable
from server.kit.ids import uuid7
from server.scenes.errors import CredentialNotFound, CredentialNotOpen
from wallet import Vault
from wallet import credentials as k1

DRAW_ATTEMPTS = 5
QUIET_ZONE_MODULES, MODULE_PX = 4, 10


@dataclass(frozen=True, slots=True)
class Showing:
    """One handle with the seed its codes are computed from; good until `expires_at`."""

    credential_id: UUID
    handle: int
    seed: bytes
    expires_at: datetime


class ShowingService:
    """Issues, draws and burns the showings of a resident's coupons."""

    def __init__(
        self,
        *,
        vault: Vault,
        clock: Clock,
        credential_key: bytes,
        code_prefix: str = "81",
        ttl_s: int = 600,
        spare_ttl_s: int = 43_200,
    ) -> None:
        self._vault, self._clock, self._key = vault, clock, credential_key
        self.prefix, self._ttl_s, self._spare_ttl_s = code_prefix, ttl_s, spare_ttl_s

    async def issue(self, resident_id: int, coupon_id: UUID, count: int) -> list[Showing]:
        """`count` handles: the first to be shown now, the others spares for when the phone has no network. Raises
        what the vault refuses (coupon used or expired)."""
        showings: list[Showing] = []
        for _ in range(DRAW_ATTEMPTS):
            wanted = range(len(showings), count)
            ttls_s = [self._ttl_s if place == 0 else self._spare_ttl_s for place in wanted]
            now = self._clock.now()
            issued = await self._vault.issue_credentials(
                resident_id, coupon_id, [uuid7(now) for _ in wanted], [k1.new_handle() for _ in wanted], ttls_s
            )
            for handle in issued:
                showings.append(
                    Showing(handle.credential_id, handle.handle, self._seed(handle.handle, now), handle.expires_at)
                )
            if len(showings) == count:
                return showings
        raise TemporarilyUnavailable

    async def picture(self, resident_id: int, credential_id: UUID, kind: Literal["svg", "png"]) -> bytes:
        """The code of this moment as a QR picture: version 1, level Q, quiet zone of four. Raises `CredentialNotFound`,
        `CredentialNotOpen`."""
        found = await self._vault.read.credential(resident_id, credential_id)
        if found is None:
            raise CredentialNotFound
        handle, state, issued_at, expires_at = found
        now = self._clock.now()
        if state != "open" or expires_at <= now:
            raise CredentialNotOpen
        code = k1.code_of(self.prefix, handle, self._seed(handle, issued_at), now.timestamp())
        return await asyncio.to_thread(draw, code, kind)

    async def burn(self, resident_id: int, credential_id: UUID) -> bool:
        """Kills an open showing; returns whether one died."""
        return await self._vault.burn_credential(resident_id, credential_id)

    def _seed(self, handle: int, issued_at: datetime) -> bytes:
        return k1.seed_of(self._key, issued_at.astimezone(self._clock.zone).date(), handle)


def draw(code: str, kind: Literal["svg", "png"]) -> bytes:
    """The digits as a QR picture, black on white."""
    picture = qrcode.QRCode(
        version=1, error_correction=qrcode.constants.ERROR_CORRECT_Q, border=QUIET_ZONE_MODULES, box_size=MODULE_PX
    )
    picture.add_data(code, optimize=0)
    out = io.BytesIO()
    if kind == "svg":
        picture.make_image(image_factory=qrcode.image.svg.SvgPathFillImage).save(out)
    else:
        picture.make_image().save(out, format="PNG")
    return out.getvalue()
