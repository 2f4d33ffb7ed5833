"""Bodies of the routes that show a coupon as a dynamic code."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from miniprogram_api.schemas.uuids import UuidText


class Subject(Struct, frozen=True, forbid_unknown_fields=True):
    """What is shown. Only coupons, so far."""

    kind: Literal["coupon"]
    id: UuidText


class CredentialsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`count`: the first handle is to be shown now, up to four more are spares for a phone without network."""

    subject: Subject
    count: Annotated[int, Meta(ge=1, le=5)] = 1


class CredentialReply(Struct, frozen=True):
    """`handle`: 10 digits. `seed`: 20 bytes, base64. The code is `prefix + handle + otp(7) + luhn`."""

    credential_id: str
    handle: str
    seed: str
    expires_at: datetime


class CredentialsReply(Struct, frozen=True):
    """`server_time` corrects the phone's clock; `step_s` is how long one code is shown."""

    credentials: list[CredentialReply]
    prefix: str
    step_s: int
    server_time: datetime


class PictureRequest(Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["svg", "png"]


class BurnRequest(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Literal["screenshot", "left"]


class BurnReply(Struct, frozen=True):
    """`burnt` is false when the code was used or over already."""

    burnt: bool
