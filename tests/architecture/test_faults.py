"""Every fault that the papers tell of is tested by the test they name, and every fault test stands in the papers."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
#: Of how the supervisor starts and stops; no fault of the vault's.
OTHERS = {
    "test_a_worker_killed_with_9_is_replaced_while_others_answer",
    "test_a_stop_ends_every_process_with_status_0",
    "test_unfit_settings_end_the_service_at_once_and_name_no_secret",
}


def table() -> list[list[str]]:
    """The cells of the fault table, row by row."""
    text = (ROOT / "docs/contributing.md").read_text().split("\n## Faults\n")[1]
    section = re.split(r"\n##+ ", text)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def defined(folder: str) -> list[str]:
    return [name for path in sorted((ROOT / folder).rglob("test_*.py")) for name in DEFINED.findall(path.read_text())]


def test_every_row_names_a_fault_a_promise_and_tests_that_exist_once() -> None:
    known = defined("tests")
    rows = table()
    assert len(rows) >= 24
    for fault, tests, promise in rows:
        names = NAMED.findall(tests)
        assert fault and promise and names, f"a row must say fault, tests and promise, saw {fault!r}"
        assert {name: known.count(name) for name in names} == dict.fromkeys(names, 1), fault


def test_every_fault_test_stands_in_the_table() -> None:
    told = {name for _, tests, _ in table() for name in NAMED.findall(tests)}
    assert set(defined("tests/faults")) - told == OTHERS
