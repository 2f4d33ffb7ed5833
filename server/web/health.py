"""Alive, and ready: two questions for two readers.

/healthz  the process answers                             a supervisor restarts it when it does not
/readyz   database, migrations, partitions, grants        a gateway sends nothing here while it is 503
          Redis gone is "degraded" and 200: value still moves correctly
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final, Literal

import msgspec

from server.kit.bootstrap import missing_grants
from server.kit.db import fetch
from server.kit.migrations import pending

REMEMBERED_S: Final = 1.0


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct, frozen=True):
    """Whether requests should come here; `checks` tells what is wrong in short names."""

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, str]


class Readiness:
    """Asks at most once a second, however often it is asked."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._until = 0.0
        self._answer = Ready("not_ready", {"service": "starting"})
        self.stopping = False

    async def answer(self) -> Ready:
        """The state of this process."""
        if self.stopping:
            return Ready("not_ready", {"service": "stopping"})
        if monotonic() >= self._until:
            self._answer = await self._ask()
            self._until = monotonic() + REMEMBERED_S
        return self._answer

    async def _ask(self) -> Ready:
        try:
            checks = await database_checks()
        except Exception:
            return Ready("not_ready", {"database": "unreachable"})
        healthy = await self._cache.ping()
        if any(answer != "ok" for answer in checks.values()):
            return Ready("not_ready", checks | {"cache": "ok" if healthy else "unreachable"})
        return Ready("ready" if healthy else "degraded", checks | {"cache": "ok" if healthy else "unreachable"})


async def database_checks() -> dict[str, str]:
    """What the database lacks, by check; every value is "ok" or a short reason. Raises when it cannot be reached."""
    waiting = await pending(fetch)
    if waiting:
        return {"database": "ok", "migrations": f"pending: {', '.join(waiting)}"}
    wrong = await missing_grants(fetch)
    vault = (await fetch(_VAULT))[0]
    return {
        "database": "ok",
        "migrations": "ok",
        "grants": ", ".join(wrong) or "ok",
        "vault_grants": "ok" if vault["may_call"] and not vault["may_write"] else "wrong",
        "partitions": "ok" if vault["next_month"] else "next month is missing",
    }


# The application's role calls the vault's functions and reads its tables; it writes none of them (D3). The next month's
# journal partition must exist before the month begins (D14).
_VAULT: Final = """
SELECT has_schema_privilege(current_user, 'vault', 'USAGE')
         AND has_table_privilege(current_user, 'vault.journal', 'SELECT') AS may_call,
       has_table_privilege(current_user, 'vault.journal', 'INSERT, UPDATE, DELETE, TRUNCATE')
         OR has_table_privilege(current_user, 'vault.wallet', 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write,
       EXISTS (SELECT FROM vault.journal_month
               WHERE month = (date_trunc('month', vault.now() AT TIME ZONE 'UTC') + interval '1 month')::date
              ) AS next_month
"""
