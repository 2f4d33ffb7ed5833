"""Run the stand-in as a process of its own. It speaks to this machine only."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import threading

import click

from server.sandbox.wechat import SANDBOX_APPID, SANDBOX_REALNAME_KEY, SANDBOX_SECRET
from server.sandbox.wechat.app import create_app
from server.sandbox.wechat.world import World


def loopback_of(host: str) -> str:
    """The loopback address `host` names; a `ClickException` for any other."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise click.ClickException(
        f"{host} is not a loopback address: the stand-in hands out logins and never listens there"
    )


def _end_with_parent() -> None:
    """End when whoever holds our standard input is gone."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9801, show_default=True, help="0 takes a free one; the first line printed names it.")
@click.option("--appid", default=SANDBOX_APPID, show_default=True)
@click.option("--secret", default=SANDBOX_SECRET)
@click.option("--realname-key", default=SANDBOX_REALNAME_KEY)
@click.option("--with-parent", is_flag=True, help="End when standard input ends.")
def main(host: str, port: int, appid: str, secret: str, realname_key: str, with_parent: bool) -> None:
    """The WeChat stand-in."""
    address = loopback_of(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        name = f"[{address}]" if family == socket.AF_INET6 else address
        print(f"http://{name}:{listener.getsockname()[1]}", flush=True)
        if with_parent:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        app = create_app(World({appid: secret}, realname_key))
        app.run(sock=listener, single_process=True, motd=False, access_log=False, debug=False)


if __name__ == "__main__":
    main()
