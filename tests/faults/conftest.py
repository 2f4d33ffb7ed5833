"""`cluster` (module): PostgreSQL of the file's own, for tests that break it; each test takes a database of its own.
`fragile` (module): a whole house whose cache may be broken."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.clusters import Cluster, started_cluster
from tests.support.fragile import fragile

__all__ = ["cluster", "fragile"]


@pytest_asyncio.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with started_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
