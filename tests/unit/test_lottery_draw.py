"""A draw is what the paper says, and a published file that was changed anywhere is found out."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli import main
from server.incentives.lottery import draw
from server.incentives.lottery.published import WinnerLine, code_of, entry_line, is_code
from server.incentives.lottery.verify import NotALottery, verify
from tests.support.lotteries import Draw

PAPER = Path(__file__).resolve().parents[2] / "docs" / "lottery.md"


def broken(path: Path, **noted: str) -> list[str]:
    return [check.name for check in verify(path, **noted).checks if not check.holds]


@pytest.mark.parametrize("beacon", [None, "3 7 1", "外部数字"])
@pytest.mark.parametrize("people", [0, 1, 3, 4, 5, 200])
def test_the_program_in_the_paper_finds_the_same_winners(tmp_path: Path, people: int, beacon: str | None) -> None:
    made = Draw.of(people, beacon=beacon)
    (program,) = re.findall(r"```python\n(.*?)```", PAPER.read_text(), re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 21
    file = made.write(tmp_path / "draw.jsonl")
    done = subprocess.run([sys.executable, "-I", "-c", program, str(file)], capture_output=True, text=True, check=True)
    told = [f"{won.rank} {won.place} {won.code} {won.ticket}" for won in made.winners()]
    assert done.stdout.splitlines() == told
    assert len(told) == min(people, 4)


def test_a_draw_of_known_bytes_stays_what_it_was_for_ever() -> None:
    """The announcement's bytes, secret and entries are fixed here: a change of the rule would show."""
    codes = {"0" * 19 + "1": 1, "0" * 19 + "2": 2, "0" * 19 + "3": 1}
    digest = draw.next_link(draw.first_link(b"{}"), [entry_line(*entry) for entry in sorted(codes.items())])
    assert digest.hex() == "f15d3be400162cdc874ec46faa84c82dc92555cd15ffe91ba2a3cb7046e390fd"
    seed = draw.seed_of(bytes(32), digest, "123")
    assert seed.hex() == "2d9360a276849ea69841a27f6da9ced4e30d1c5025af31f2d41294d19b055e6b"
    won = draw.lowest((draw.Scores(seed).best(*entry) for entry in codes.items()), 2)
    assert [(code[-1], ticket) for _, code, ticket in won] == [("2", 2), ("1", 1)]


def test_every_check_of_an_honest_file_holds(tmp_path: Path) -> None:
    made = Draw.of(50, beacon="123")
    verdict = verify(made.write(tmp_path / "draw.jsonl"))
    assert (verdict.holds, verdict.drawn, verdict.winners, verdict.listed.entries) == (True, True, 4, 50)
    noted = {"commitment": draw.commitment_of(made.secret).hex(), "digest": made.digest.hex()}
    assert verify(tmp_path / "draw.jsonl", **noted).holds


def test_another_draw_that_is_true_in_itself_is_found_by_who_noted_the_first(tmp_path: Path) -> None:
    first = Draw.of(20)
    other = Draw(first.entries, secret=b"x" * 32)
    noted = {"commitment": draw.commitment_of(first.secret).hex(), "digest": first.digest.hex()}
    file = other.write(tmp_path / "draw.jsonl")
    assert (broken(file), broken(file, **noted)) == ([], ["noted_commitment", "noted_digest"])


def test_whoever_changes_one_thing_is_told_which_check_it_breaks(tmp_path: Path) -> None:
    made = Draw.of(20)
    honest = made.content()
    code, tickets = next(iter(sorted(made.entries.items())))
    entry, won = entry_line(code, tickets), made.winners()[0]
    changes = {
        "another secret": (made.secret.hex().encode(), b"00" * 32, {"commitment", "winners"}),
        "one ticket more": (entry, entry_line(code, tickets % 5 + 1), {"digest", "winners"}),
        "an entry left out": (entry + b"\n", b"", {"digest", "winners"}),
        "an entry twice": (entry, entry + b"\n" + entry, {"entries", "digest", "winners"}),
        "too many tickets": (entry, entry_line(code, 6), {"entries", "digest", "winners"}),
        "a prize more": ('等奖","template_id":"3","count":1'.encode(), '等奖","template_id":"3","count":2'.encode(),
                         {"digest", "winners"}),
        "other rules": ("每人限报名一次".encode(), "每人可报名两次".encode(), {"digest", "winners"}),
        "another winner": (b'"rank":1,"place":1,"code":"' + won.code.encode(),
                           b'"rank":1,"place":1,"code":"' + code_of(b"z" * 32).encode(), {"winners"}),
        "another ticket": (b'","ticket":%d}\n{"rank":2,"place":1' % won.ticket,
                           b'","ticket":9}\n{"rank":2,"place":1', {"winners"}),
        "a winner left out": (b'{"winners":4}', b'{"winners":3}', {"winners"}),
        "a number nobody named": (b'"beacon":null}\n{"rank"', b'"beacon":"1"}\n{"rank"', {"beacon", "winners"}),
        "something after the end": (b'{"winners":4}\n', b'{"winners":4}\n{}\n', {"winners"}),
    }  # fmt: skip
    for name, (before, after, checks) in changes.items():
        assert honest.count(before) == 1, name
        file = tmp_path / "changed.jsonl"
        file.write_bytes(honest.replace(before, after))
        assert set(broken(file)) == checks, name


def test_a_list_that_is_not_drawn_yet_is_no_draw(tmp_path: Path) -> None:
    made = Draw.of(5)
    file = tmp_path / "list.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in made.lines()[:7]))
    verdict = verify(file)
    assert (verdict.drawn, verdict.holds, broken(file)) == (False, False, [])


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"PK\x03\x04", b"\xff\xfe\n", b'{"format":"other"}\n'])
def test_what_is_no_lottery_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(NotALottery):
        verify(file)


def test_a_file_that_is_cut_off_never_holds(tmp_path: Path) -> None:
    content = Draw.of(3).content()
    file = tmp_path / "cut.jsonl"
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with contextlib.suppress(NotALottery):
            assert not verify(file).holds, length


def test_chances_are_as_the_tickets() -> None:
    """One of two wins: who has three tickets of four wins three times of four."""
    entries = {code_of(b"a" * 32): 3, code_of(b"b" * 32): 1}
    wins: Counter[int] = Counter()
    for number in range(4_000):
        (won,) = Draw(entries, prizes=[("奖", 1)], secret=number.to_bytes(32, "big")).winners()
        wins[entries[won.code]] += 1
    assert 2_850 < wins[3] < 3_150


def test_every_place_is_handed_out_in_order_and_a_walk_goes_on_where_it_stopped() -> None:
    counts = [(1, 1), (2, 3), (3, 2)]
    every = list(draw.places(counts))
    assert every == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2)]
    for after in range(8):
        assert list(draw.places(counts, after)) == every[after:]


def test_codes_have_letters_that_are_not_mixed_up_and_keep_100_bits() -> None:
    codes = {code_of(bytes([number]) + bytes(31)) for number in range(256)}
    assert len(codes) == 256 and all(is_code(code) for code in codes)
    assert code_of(b"\xff" * 32) == "Z" * 20 and code_of(bytes(12) + b"\x0f" + bytes(19)) == "0" * 20
    assert not is_code("I" * 20) and not is_code("0" * 19)


def test_winners_are_the_same_whatever_order_they_are_told_in() -> None:
    made = Draw.of(30)
    turned = Draw(dict(reversed(made.entries.items())), secret=made.secret)
    assert made.winners() == turned.winners() != []
    assert isinstance(made.winners()[0], WinnerLine)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 0, "the draw is as it was published"),
        (["--commitment", "0" * 64], 1, "BREAKS"),
        (["--digest", "zz"], 2, "hexadecimal"),
        (["--json"], 0, '"holds":true'),
    ],
)
def test_the_command_says_what_it_found(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    file = Draw.of(9).write(tmp_path / "draw.jsonl")
    done = CliRunner().invoke(main, ["verify-draw", str(file), *arguments])
    assert (done.exit_code, said.replace("BREAKS", "BROKEN noted_commitment") in done.output) == (status, True), (
        done.output
    )


def test_the_command_tells_a_file_that_is_none_by_its_own_status(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"{}\n")
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "verify-draw", str(other)], env={}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.startswith("Error: ")) == (65, True), done.stderr
