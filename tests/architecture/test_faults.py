"""Every fault that the papers tell of is tested by the test they name, and every fault test stands in the papers; so is
every defect of the peers that was to be beaten."""

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


def test_every_defect_of_the_peers_that_is_beaten_here_has_tests_that_exist() -> None:
    text = (ROOT / "tests/api/test_peers_defects.py").read_text()
    by_name = {int(number) for name in DEFINED.findall(text) for number in re.findall(r"(?:test|and)_(\d+)_", name)}
    assert by_name >= set(range(1, 14)), f"1 to 13 by their numbers, saw {sorted(by_name)}"
    told = re.split(r"^    (\d+), ", text.split('"""')[1], flags=re.MULTILINE)[1:]
    elsewhere = dict(zip(map(int, told[::2]), told[1::2], strict=True))
    assert set(elsewhere) == {26, 27, 28}
    known = defined("tests")
    for number, said in elsewhere.items():
        names = re.findall(r"test_\w+", said)
        assert names and all(known.count(name) == 1 for name in names), number
