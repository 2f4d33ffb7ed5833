"""The one table of answers (D8) against the SQL that gives them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wallet.errors import FIXED_ERRORS, Refused
from wallet.items import Op
from wallet.statuses import ANSWERS, STATUSES, Status

SQL = Path(__file__).resolve().parents[2] / "migrations/sql/vault"
GIVEN = re.compile(
    r"""refusal\((\d+)\)                                # an operation refuses
      | \b(?:o\.)?(?:status|st)\s*:=\s*(\d+)             # a posting or a part of it answers
      | \bROW\((\d+),\s*false,                           # an outcome written out
      | SELECT\s+(\d+)::smallint,\s*NULL::uuid           # a set-up call that answers rows
      | \bRETURN\s+(\d+);                              # a part of an operation answers
    """,
    re.VERBOSE,
)
CHOICE = re.compile(r"\bstatus\s*:=\s*CASE\b(.*?)\bEND\b", re.DOTALL)


def code_of_sql() -> str:
    return re.sub(r"--[^\n]*", "", "\n".join(path.read_text() for path in sorted(SQL.glob("*.sql"))))


def given_by_sql() -> set[int]:
    text = code_of_sql()
    found = {int(number) for groups in GIVEN.findall(text) for number in groups if number}
    for choice in CHOICE.findall(text):
        found |= {int(number) for number in re.findall(r"\b(?:THEN|ELSE)\s+(\d+)", choice)}
    return found


def test_every_number_the_sql_gives_is_in_the_table_and_every_number_of_the_table_is_given() -> None:
    given = given_by_sql()
    assert len(given) > 20, f"the pattern finds too little: {sorted(given)}"
    assert given - set(STATUSES) == set(), "the SQL gives what the table does not know"
    assert set(STATUSES) - given == set(), "the table knows what nothing gives"


def test_what_is_written_and_stays_is_what_decide_writes() -> None:
    written = re.search(r"IF m\.st IN \(([\d, ]+)\) THEN\s+RETURN vault\.note", code_of_sql())
    assert written, "decide no longer says which answers it writes"
    numbers = {int(number) for number in written[1].split(",")}
    assert {one.number for one in STATUSES.values() if one.written} == numbers
    assert {one.number for one in STATUSES.values() if one.sticky} == numbers


def functions() -> dict[str, str]:
    """The body of every function of the vault, by its name."""
    found = re.findall(r"CREATE FUNCTION vault\.(\w+)\((.*?)(?=CREATE FUNCTION|\Z)", code_of_sql(), re.DOTALL)
    return dict(found)


def numbers(text: str) -> set[int]:
    """The status numbers that a piece of SQL gives."""
    given = {int(number) for groups in GIVEN.findall(text) for number in groups if number}
    for choice in re.findall(r"(?:\b(?:status|st)\s*:=|\bRETURN)\s+CASE\b(.*?)\bEND\b", text, re.DOTALL):
        given |= {int(number) for number in re.findall(r"\b(?:THEN|ELSE)\s+(\d+)", choice)}
    return given


def reached(name: str, bodies: dict[str, str]) -> set[str]:
    """A deciding function and every part of the vault whose answer becomes its own."""
    found, left = {name}, [name]
    while left:
        for part in re.findall(r"vault\.(\w+)\(", bodies[left.pop()]):
            if part in PARTS and part not in found:
                found.add(part)
                left.append(part)
    return found


#: What the other operation of the same function answers.
OF_THE_OTHER = {
    Op.CAPTURE: {40}, Op.RELEASE: {51, 55}, Op.LOCK_COUPON: {40}, Op.UNLOCK_COUPON: {35}, Op.FREEZE: {57},
}  # fmt: skip
#: Parts of decisions that answer with statuses.
PARTS = {"check_slots", "check_counters", "redeemable", "discount_of"}


def answers_by_sql(op: Op, bodies: dict[str, str]) -> set[int]:
    """What an operation can answer, as the SQL says."""
    decides = re.search(rf"WHEN (?:\d+, )*{op}(?:, \d+)* THEN (?:m :=|RETURN) vault\.(\w+)\(", bodies["decide"])
    assert decides, f"nothing decides {op.name}"
    parts = reached(decides[1], bodies)
    given = set().union(*(numbers(bodies[part]) for part in parts)) - {0}
    if "check_slots" in parts:
        given.add(12)  # a budget that cannot be refilled
    if "check_counters" in parts:
        given.add(14)  # a counter that cannot
    return given | numbers(bodies["post_round"]) - {12, 14}


def test_each_operation_can_answer_what_the_table_says_and_nothing_else() -> None:
    bodies = functions()
    assert numbers(bodies["post_round"]) == {6, 12, 14}
    before = numbers(bodies["precheck"])
    assert before == {2, 3, 4, 5, 6, 20, 38, 41, 54}
    frozen = re.search(r"'frozen' AND i\.op IN \(([\d, ]+)\)", bodies["precheck"])
    assert frozen
    stopped = {int(number) for number in frozen[1].split(",")}
    assert PARTS | {"precheck"} <= set(bodies)
    for op, table in ANSWERS.items():
        first = {5, 20} if op == Op.CLAIM_CREDENTIAL else {2, 3, 5, 6} | ({38, 41} if op == Op.VOID else {4})
        first |= {54} if op in stopped else set()
        expected = (answers_by_sql(op, bodies) | first) - OF_THE_OTHER.get(op, set())
        assert {one.number for one in table} == expected, op.name
    assert set(ANSWERS) == set(Op)


@pytest.mark.parametrize("status", STATUSES.values(), ids=lambda one: one.code)
def test_a_status_has_a_chinese_message_and_a_right_http_status(status: Status) -> None:
    assert re.search(r"[\u4e00-\u9fff]", status.message) and not re.search(r"[A-Za-z]", status.message)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", status.code)
    assert status.http in ({200} if status.number == 0 else {403, 404, 409, 422, 503})
    refused = Refused.of(status.number, replayed=True)
    assert (refused.code, refused.status, refused.message, refused.replayed) == (
        status.code,
        status.http,
        status.message,
        True,
    )
    assert (refused.retry_after_s is not None) == (status.http == 503)


def test_codes_are_told_apart() -> None:
    codes = [one.code for one in STATUSES.values()] + [error().code for error in FIXED_ERRORS]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", FIXED_ERRORS, ids=lambda one: one.__name__)
def test_the_other_errors_speak_chinese_too(error: type) -> None:
    made = error()
    assert re.search(r"[\u4e00-\u9fff]", made.message) and made.status in (409, 503)
    assert (made.retry_after_s is not None) == (made.status == 503 or made.code == "in_flight")
