"""Every refusal that a test meets over HTTP, held against the contract: a strict client must know all codes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

import httpx

from server.web.openapi import PARAMETER, errors_of

#: What is refused before any route is asked.
BEFORE_ROUTES = {"route_not_found", "method_not_allowed", "malformed_request", "request_timeout"}
_SHAPES = {"int": r"-?\d+", "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"}


@dataclass
class Contract:
    """Collects by an httpx hook what the contract does not name."""

    surprises: set[str] = field(default_factory=set)

    async def keep(self, answer: httpx.Response) -> None:
        """The hook."""
        if answer.status_code < 400 or not answer.headers.get("content-type", "").startswith("application/json"):
            return
        await answer.aread()
        refusal = answer.json().get("error")
        code = refusal.get("code") if isinstance(refusal, dict) else None
        if code is None or code in BEFORE_ROUTES:
            return
        told = told_of(answer.request.method, answer.request.url.path)
        if told is not None and (answer.status_code, code) not in told:
            where = f"{answer.request.method} {answer.request.url.path}"
            self.surprises.add(f"{where} answered {answer.status_code} {code}, which its contract does not name")


def told_of(method: str, path: str) -> frozenset[tuple[int, str]] | None:
    """Status and code of every refusal that the contract names for a path; None when it is no path of the house."""
    found = [told for asked, pattern, told in _contract() if asked == method and pattern.fullmatch(path)]
    return frozenset().union(*found) if found else None


@cache
def _contract() -> list[tuple[str, re.Pattern[str], frozenset[tuple[int, str]]]]:
    from server.app import all_routes

    return [
        (
            route.method,
            re.compile(PARAMETER.sub(lambda found: _SHAPES.get(found[2] or "str", "[^/]+"), route.path)),
            frozenset((status, code) for code, (status, _) in errors_of(route).items()),
        )
        for route in all_routes()
    ]
