"""Random requests to every documented operation: no answer is a fault, and the contract names every answer."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx
from jsonschema import Draft202012Validator

from server.sandbox.phone import client_id
from tests.support.fragile import Fragile
from tests.support.play import GYM_STORE, Console, books_balance

FUZZ_S: Final = 6.0
LEAST: Final = 300
PATIENCE_S: Final = 120.0
#: The fuzz is worth something only when some of it is taken, and some refused for its content and for its caller.
EXPECTED: Final = (200, 201, 400, 403)
METHODS: Final = ("get", "post", "put", "delete")
STRANGE: Final = (
    None, True, 0, -1, 10**30, 1.5, "", " ", "x", "\0", "\ud800", "🍎" * 30, "0" * 400, "' OR 1=1 --", "%00", "../..",
    [], {}, [None], "2026-13-40", "9" * 18, "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
#: Ending its own session would leave the fuzzer without one; streams do not end by themselves.
SKIPPED: Final = {("delete", "/api/mp/v1/sessions"), ("delete", "/api/mp/v1/sessions/current")} | {
    ("delete", "/api/mp/v1/merchant/sessions/current"),
    ("delete", "/api/admin/v1/sessions/current"),
}


class Fuzzer:
    """Makes requests from the contract, and holds the answers against it."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self.document, self.chance = document, random.Random(seed)
        self.operations = [
            (method, path, item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item and (method, path) not in SKIPPED
        ]

    def value(self, schema: dict[str, Any], depth: int = 0) -> Any:
        """Something that fits the schema, mostly."""
        if self.chance.random() < 0.12 or depth > 6:
            return self.chance.choice(STRANGE)
        if "$ref" in schema:
            return self.value(self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], depth + 1)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self.value(self.chance.choice(schema[several]), depth + 1)
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            named = schema.get("properties", {})
            made = {name: self.value(part, depth + 1) for name, part in named.items() if self.chance.random() < 0.9}
            return made | ({"surprise": 1} if self.chance.random() < 0.05 else {})
        if kind == "array":
            return [self.value(schema.get("items", {}), depth + 1) for _ in range(self.chance.randrange(3))]
        if kind == "integer":
            return self.chance.choice((schema.get("minimum", 0), schema.get("maximum", 2**63), 1, 7, 20))
        if kind == "boolean":
            return self.chance.random() < 0.5
        if kind == "null":
            return None
        return self.chance.choice(
            ("1", "2", "9" * 18, "2026-11-23", "2026-11-23T08:00:00Z", str(client_id()), "x" * 20, "8" * 20)
        )

    def request(self, base_url: str, tokens: list[str]) -> tuple[str, str, httpx.Request]:
        """The method and path template, and a request for it."""
        method, path, operation = self.chance.choice(self.operations)
        target, query, headers = path, {}, {}
        for parameter in operation.get("parameters", ()):
            name, value = parameter["name"], self.value(parameter["schema"])
            if parameter["in"] == "path":
                known = client_id() if parameter["schema"].get("format") == "uuid" else self.chance.randrange(1, 12)
                text = str(value if self.chance.random() < 0.2 else known).encode("utf-8", "replace")
                target = target.replace("{" + name + "}", quote(text, safe="") or "1")
            elif parameter["in"] == "query" and self.chance.random() < 0.6:
                query[name] = str(value).encode("utf-8", "replace").decode()
            elif name == "Idempotency-Key":
                headers[name] = str(client_id())
        if token := self.chance.choice(tokens):
            headers["Authorization"] = f"Bearer {token}"
        if "wait_s" in query or path.endswith("/events"):
            query["wait_s"] = "0"
        content = None
        kinds = operation.get("requestBody", {}).get("content", {})
        if kinds and "application/json" not in kinds:
            content, headers["Content-Type"] = self.file(), next(iter(kinds))
        elif kinds:
            schema = kinds["application/json"]["schema"]
            content = b"{" if self.chance.random() < 0.03 else json.dumps(self.value(schema)).encode()
            headers["Content-Type"] = "application/json"
        return method, path, httpx.Request(method, base_url + target, params=query, headers=headers, content=content)

    def file(self) -> bytes:
        """Lines that fit, lines that do not, and what is no text at all."""
        lines = [str(self.chance.choice((*STRANGE, self.chance.randrange(1, 12)))) for _ in range(5)]
        return self.chance.choice((b"", b"PK\x03\x04", "\n".join(lines).encode("utf-8", "replace")))

    def judge(self, method: str, path: str, answer: httpx.Response) -> str | None:
        """What the contract does not know about an answer; None when all is well."""
        if answer.status_code >= 500 and answer.json()["error"]["code"] != "budget_busy":
            return "a fault"
        code = answer.json()["error"]["code"] if answer.status_code in (404, 405) else ""
        if code == "method_not_allowed" or (code == "route_not_found" and not self._ids_only(method, path)):
            return None  # the random path was none of ours
        described = self.document["paths"][path][method]["responses"].get(str(answer.status_code))
        if described is None:
            return "a status that is not documented"
        schema = described.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            # A picture is documented by one of its kinds.
            shown = tuple(kind.replace("image/png", "image/") for kind in described.get("content", ()))
            known = not answer.content or answer.headers["content-type"].startswith(shown)
            return None if known else "a body that is not documented"
        problem = next(iter(self._validator(method, path, answer.status_code).iter_errors(answer.json())), None)
        return f"{problem.json_path}: {problem.message}" if problem else None

    def _ids_only(self, method: str, path: str) -> bool:
        """Whether all that varies in the path are ids: what is none of them is refused by the route itself."""
        told = self.document["paths"][path][method].get("parameters", ())
        schemas = [one["schema"] for one in told if one["in"] == "path"]
        return bool(schemas) and all(one["type"] == "integer" or one.get("format") == "uuid" for one in schemas)

    @cache  # noqa: B019 one fuzzer lives as long as its test
    def _validator(self, method: str, path: str, status: int) -> Draft202012Validator:
        schema = self.document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
        return Draft202012Validator({**schema, "components": self.document["components"]})


async def test_random_requests_get_documented_answers_and_no_fault(fragile: Fragile) -> None:
    town = fragile.town
    console = Console(town)
    resident, manager = await town.resident(), await town.counter(GYM_STORE, "manager")
    phones = [resident, manager, await town.counter(GYM_STORE)]
    tokens = [phone.headers["Authorization"].removeprefix("Bearer ") for phone in phones]
    tokens += [await console.token(name) for name in ("editor", "approver", "merchants", "auditor")]
    fuzzer = Fuzzer((await town.http.get("/openapi.json")).json(), seed=20261123)
    seen: Counter[int] = Counter()
    wrong: dict[str, str] = {}
    began = time.monotonic()
    # On a slow machine it goes on until each kind of answer came, so that what is tried does not hang on the clock.
    while time.monotonic() < began + FUZZ_S or sum(seen.values()) < LEAST or not all(seen[one] for one in EXPECTED):
        assert time.monotonic() < began + PATIENCE_S, f"some kind of answer never came: {seen}"
        method, path, request = fuzzer.request(town.base_url, [*tokens, ""])
        answer = await town.http.send(request)
        seen[answer.status_code] += 1
        problem = fuzzer.judge(method, path, answer)
        if problem:
            wrong.setdefault(
                f"{method} {path} {answer.status_code} {problem[:80]}",
                f"{request.url} {request.content[:300]!r} -> {answer.text[:300]}",
            )
    assert wrong == {}, "\n".join(f"{what}\n    {how}" for what, how in wrong.items())
    await books_balance(town)
