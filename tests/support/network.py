"""No test reaches beyond this machine: every connect of the process is judged by an audit hook."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

violations: list[str] = []
_installed = False


class NetworkUsed(RuntimeError):
    """A socket went beyond loopback."""


def is_local(host: object) -> bool:
    """Whether `host` is a loopback address, its name, or nothing to connect to (None, a unix path)."""
    if host is None or host in ("", b"", "localhost", b"localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.split("%", 1)[0]).is_loopback
    except ValueError:
        return False


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not is_local(host):
        violations.append(f"{event} {host!r}")
        raise NetworkUsed(f"{event} to {host!r}: tests stay on loopback")


def install() -> None:
    """Judge from now on, for the life of the process."""
    global _installed
    if not _installed:
        sys.addaudithook(_judge)
        _installed = True
