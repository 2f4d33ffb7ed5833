"""Our own name for every request; a client's is kept beside it when it is harmless."""

from __future__ import annotations

import re
import secrets
from typing import Final

HEADER: Final = "X-Request-ID"
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_request_id() -> str:
    """24 hexadecimal digits nobody else has."""
    return secrets.token_hex(12)


def client_request_id(sent: str | None) -> str | None:
    """The client's own id when it is plain letters, digits, dot, dash or underscore, up to 64; else None."""
    return sent if sent and _HARMLESS.fullmatch(sent) else None
