"""The guard that keeps tests on this machine."""

from __future__ import annotations

import socket

import pytest

from tests.support import network


def test_a_connect_beyond_loopback_raises_and_is_remembered() -> None:
    with socket.socket() as line, pytest.raises(network.NetworkUsed):
        line.connect(("192.0.2.1", 80))
    assert network.violations.pop() == "socket.connect '192.0.2.1'"


def test_a_name_look_up_of_another_host_raises() -> None:
    with pytest.raises(network.NetworkUsed):
        socket.getaddrinfo("api.weixin.qq.com", 443)
    network.violations.pop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1", None])
def test_loopback_is_local(host: str | None) -> None:
    assert network.is_local(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com", "8.8.8.8", "fe80::1%eth0"])
def test_other_hosts_are_not_local(host: str) -> None:
    assert not network.is_local(host)
