"""Fixtures on real engines. Nothing is faked but WeChat, and that over a real socket.

| fixture          | scope    | what                                                                                   |
|------------------|----------|----------------------------------------------------------------------------------------|
| `engines`        | session  | the shared embedded cluster (`.urls`, `.postgres_bin`)                                 |
| `database`       | module   | a migrated database of this module: `.superuser .owner .app .worker .name`             |
| `fresh_database` | function | the same for one test                                                                  |
| `new_database`   | session  | `await new_database()`: as many as wanted, dropped at the end                          |
| `own_engines`    | function | a cluster and a Valkey that the test may kill; with `@pytest.mark.fault`               |
| `valkey`         | function | the URL of an empty Valkey                                                             |
| `wechat_sim`     | function | the WeChat stand-in, reset: `.base_url .appid .secret`, `await .login_code(…)` …       |
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from server.sandbox.engine_user import EngineUser  # noqa: E402
from server.sandbox.engine_valkey import Valkey  # noqa: E402
from server.sandbox.engines import Engines  # noqa: E402
from server.sandbox.wechat.control import StandInControl, StandInProcess  # noqa: E402
from tests.support import databases, network  # noqa: E402
from tests.support.databases import Database  # noqa: E402

network.install()

# The embedded cluster speaks no TLS: it need not be asked for it at each of thousands of connections.
os.environ["PGSSLMODE"] = "disable"
# Nothing here speaks TLS; reading all the world's certificates takes every new client 40 ms.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault: owns its engines and breaks them; runs after the others")
    config.addinivalue_line("markers", "live: needs a real WeChat appid; skipped unless asked for")


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fails the test that connects beyond loopback, even when its code swallowed the error."""
    before = len(network.violations)
    yield
    assert network.violations[before:] == [], "a socket went beyond loopback"


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    started = databases.start_engines()
    yield started
    started.stop()


@pytest_asyncio.fixture(scope="session")
async def new_database(engines: Engines) -> AsyncIterator[Callable[[], Awaitable[Database]]]:
    source = await databases.template(engines.urls, engines.folder)
    yield lambda: databases.clone(engines.urls, source)
    await databases.drop_own(engines.urls)


@pytest_asyncio.fixture(scope="module")
async def database(engines: Engines, new_database: Callable[[], Awaitable[Database]]) -> AsyncIterator[Database]:
    database = await new_database()
    yield database
    await databases.drop(engines.urls, database.name)


@pytest_asyncio.fixture
async def fresh_database(engines: Engines, new_database: Callable[[], Awaitable[Database]]) -> AsyncIterator[Database]:
    database = await new_database()
    yield database
    await databases.drop(engines.urls, database.name)


@pytest.fixture
def own_engines(tmp_path: Path) -> Iterator[Engines]:
    own = Engines(tmp_path / "engines")
    own.start()
    yield own
    own.destroy()


@pytest.fixture(scope="session")
def _valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Valkey(tmp_path_factory.mktemp("cache"), EngineUser.current())
    port = server.ensure(port=None, password="of-the-tests")
    yield f"redis://:of-the-tests@127.0.0.1:{port}/0"
    server.destroy()


@pytest_asyncio.fixture
async def valkey(_valkey_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    from redis.asyncio import Redis

    # A busy machine takes longer over an answer than a request would wait for it.
    monkeypatch.setattr("server.kit.redis.TIMEOUT_S", 10.0)
    client = Redis.from_url(_valkey_server)
    try:
        await client.flushall()
    finally:
        await client.aclose()
    return _valkey_server


@pytest.fixture(scope="session")
def _wechat_process() -> Iterator[StandInProcess]:
    process = StandInProcess()
    process.start()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def wechat_sim(_wechat_process: StandInProcess) -> AsyncIterator[StandInControl]:
    control = StandInControl(_wechat_process.base_url)
    await control.reset()
    yield control
    await control.aclose()
