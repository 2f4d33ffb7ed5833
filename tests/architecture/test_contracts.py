"""What holds for the whole house: layers, migrations, error codes, the contract with clients."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from server.kit.errors import AppError
from server.kit.migrations import drift
from server.web import openapi
from server.web.errors import described
from wallet.errors import FIXED_ERRORS, InFlight, QueueFull, VaultUnavailable
from wallet.items import Op
from wallet.statuses import ANSWERS, STATUSES

ROOT = Path(__file__).resolve().parents[2]
#: What only the worker does; everything else that posts is asked for by a route.
POSTED_BY_JOBS = {
    "server/worker.py",
    "server/expiry/points.py",
    "server/incentives/awards.py",
    "server/incentives/grants/desk.py",
    "server/ledger_office/adjustments.py",
}


def import_everything() -> None:
    for name in ("server", "miniprogram_api", "wallet"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.startswith("server.sandbox") and not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def routes() -> list[Any]:
    from server.app import all_routes

    return all_routes()


def test_every_import_goes_downwards() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_models_and_the_migrations_agree() -> None:
    assert await drift() == []


def test_every_error_code_has_a_status_and_a_chinese_message() -> None:
    import_everything()
    known = {code: described(error) for code, error in AppError.all().items()}
    known |= {status.code: described(status) for number, status in STATUSES.items() if number}
    known |= {described(error)[0]: described(error) for error in FIXED_ERRORS}
    for code, (same, status, message) in known.items():
        assert code == same
        assert code.isascii() and code == code.lower() and " " not in code, code
        assert 400 <= status < 600, f"{code} has status {status}"
        assert any("\u4e00" <= letter <= "\u9fff" for letter in message), f"{code} says {message!r}"


def test_a_code_of_the_house_and_the_same_code_of_the_vault_have_one_status() -> None:
    import_everything()
    vault = {status.code: status.http for status in STATUSES.values()}
    both = {code: error.status for code, error in AppError.all().items() if code in vault}
    assert {code: status for code, status in both.items() if status != vault[code]} == {}


def test_the_openapi_document_is_valid() -> None:
    OpenAPIV31SpecValidator(openapi.document(routes())).validate()


def test_the_openapi_document_has_every_route_reply_and_error() -> None:
    table = routes()
    document = openapi.document(table)
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) == len(table), "two routes share a method and a path"
    identifiers = [operation["operationId"] for operation in operations.values()]
    assert len(set(identifiers)) == len(identifiers)
    for route in table:
        path = openapi.PARAMETER.sub(r"{\1}", route.path)
        operation = operations[(route.method.lower(), path)]
        assert operation["summary"] and operation["description"], route.path
        for status in route.replies:
            assert str(status) in operation["responses"], (route.path, status)
        for code, (status, _) in openapi.errors_of(route).items():
            assert f"`{code}`" in operation["responses"][str(status)]["description"], (route.path, code)
        assert bool(operation["security"]) == bool(route.caller.audiences), route.path


def posting_methods() -> dict[str, Op]:
    """Which method of the vault posts which operation, as its source says."""
    found: dict[str, Op] = {}
    for name in ("points", "coupons"):
        for node in ast.walk(ast.parse((ROOT / "wallet" / f"{name}.py").read_text())):
            text = ast.unparse(node) if isinstance(node, ast.AsyncFunctionDef) else ""
            if "self._post(" in text:
                (op,) = re.findall(r"\bOp\.([A-Z_]+)", text) or ["REDEEM"]
                found[node.name] = Op[op]
    return found


def vault_calls(path: Path) -> set[str]:
    """The methods of a vault that a file names."""
    return {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rsplit(".", 1)[-1] in ("vault", "_vault")
    }


def test_every_operation_that_an_http_process_posts_is_named_by_a_route() -> None:
    posted = posting_methods()
    assert set(posted.values()) == set(Op)
    files = {
        str(path.relative_to(ROOT)): {posted[name] for name in vault_calls(path) if name in posted}
        for folder in ("server", "miniprogram_api")
        for path in (ROOT / folder).rglob("*.py")
        if "sandbox" not in path.parts
    }
    assert {name for name in POSTED_BY_JOBS if not files[name]} == set()
    asked = set().union(*(ops for name, ops in files.items() if name not in POSTED_BY_JOBS))
    assert {route.posts for route in routes()} - {None} == asked


def test_a_route_that_posts_names_everything_the_vault_can_answer() -> None:
    posting = {route.path: route for route in routes() if route.posts is not None}
    assert len(posting) == 8
    for path, route in posting.items():
        told = {(status, code) for code, (status, _) in openapi.errors_of(route).items()}
        untold = {*openapi.NEVER_OVER_HTTP, *route.never}
        answers = {*ANSWERS[route.posts], QueueFull, InFlight, VaultUnavailable}
        wanted = {described(one)[:2][::-1] for one in answers - untold}
        assert wanted - told == set(), path
        assert set(route.never) <= answers, f"{path} denies what the vault never answers"


def test_the_contract_takes_the_rules_of_the_paper_and_no_others() -> None:
    document = openapi.document(routes())
    asked = document["components"]["schemas"]["CampaignRequest"]["properties"]["rule"]
    fits = Draft202012Validator({**asked, "components": document["components"]})
    blocks = re.findall(r"```json\n(.+?)```", (ROOT / "docs" / "rules.md").read_text(), re.DOTALL)
    rules = [one for one in map(json.loads, blocks) if "trigger" in one]
    assert len(rules) == 3
    for rule in rules:
        assert [problem.message for problem in fits.iter_errors(rule)] == []
        assert not fits.is_valid(rule | {"penalty": 1}) and not fits.is_valid(rule | {"effect": {"kind": "fine"}})


def test_every_request_body_refuses_unknown_fields() -> None:
    for route in routes():
        for kind in (route.body, route.query):
            if kind is not None:
                assert kind.__struct_config__.forbid_unknown_fields, f"{route.path}: {kind.__name__}"


def test_every_change_of_the_console_asks_for_a_scope() -> None:
    for route in routes():
        if route.method != "GET" and route.caller.name == "admin" and "/sessions" not in route.path:
            assert route.caller.scope, f"{route.method} {route.path}"


@pytest.mark.parametrize("folder", ["server", "miniprogram_api", "wallet", "tests"])
def test_files_stay_short(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


@pytest.mark.parametrize("folder", ["server", "miniprogram_api", "wallet"])
def test_functions_stay_short(folder: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 70
    ]
    assert long == []
