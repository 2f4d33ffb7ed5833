"""docs/rules.md: its examples are run, its tables are complete."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from server.incentives.rules import FACTS, Rule, Tally, check, judge, needs, progress, read, reasons, text
from server.incentives.rules.language import Condition, Effect, Trigger
from server.incentives.rules.parts import CONDITIONS, EFFECTS, TRIGGERS
from tests.support.rules import Somebody, case_of

PAPER = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"^### (.+?)$(.+?)(?=^###? |\Z)", PAPER, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("title", "body"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_says_and_decides_what_the_paper_says(title: str, body: str) -> None:
    rule, example = (json.loads(block) for block in re.findall(r"```json\n(.+?)```", body, re.DOTALL))
    made = read(rule)
    check(made)
    assert re.findall(r"^> (.+)$", body, re.MULTILINE) == [text(made)]
    assert_decided(made, example)


def assert_decided(rule: Rule, example: dict[str, Any]) -> None:
    asked = needs(rule).history
    assert len(asked) == len(example["history"])
    case = case_of(
        rule,
        at=datetime.fromisoformat(example["at"]),
        person=Somebody(**example.get("person", {})),
        attributes=example.get("attributes"),
        history={need: Tally(**answer) for need, answer in zip(asked, example["history"], strict=True)},
        merchant_category=example.get("merchant_category"),
    )
    decision = judge(rule, case)
    assert (decision.granted, decision.points) == (example["granted"], example["points"])
    assert [{"text": each.text, "seen": each.seen} for each in reasons(decision)] == example["reasons"]
    steps = [each.progress.text for each in progress(decision) if each.progress is not None]
    assert steps == example.get("progress", [])


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


def table(head: str) -> dict[str, str]:
    rows = re.search(rf"^\| {head} \|.*\n\|.*\n((?:\|.*\n)+)", PAPER, re.MULTILINE)
    assert rows is not None, head
    return {line.split("|")[1]: line.split("|")[2] for line in rows.group(1).splitlines()}


@pytest.mark.parametrize(
    ("head", "kinds", "names"),
    [("trigger", Trigger, TRIGGERS), ("condition", Condition, CONDITIONS), ("effect", Effect, EFFECTS)],
)
def test_the_tables_name_every_kind_of_part_and_no_other(head: str, kinds: Any, names: dict[str, str]) -> None:
    named = {word for cell in table(head) for word in re.findall(r"`(\w+)`", cell)}
    assert named == names.keys() == {kind.__struct_config__.tag for kind in get_args(kinds)}


def test_the_table_of_facts_is_the_catalogue() -> None:
    written = {kind.strip(" `"): set(re.findall(r"`(\w+)`", carries)) for kind, carries in table("fact").items()}
    assert written == {kind: set(fact.attributes) for kind, fact in FACTS.items()}
