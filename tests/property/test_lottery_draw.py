"""Whatever is changed in a published file, however little, no check-up takes it for the draw."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from server.incentives.lottery.verify import NotALottery, verify
from tests.support.lotteries import Draw

DRAWS = st.builds(Draw.of, st.integers(0, 40), st.integers(0, 10_000), beacon=st.sampled_from([None, "371"]))


def holds(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "draw.jsonl"
        file.write_bytes(content)
        try:
            return verify(file).holds
        except NotALottery:
            return False


@given(DRAWS, st.data())
@settings(max_examples=120)
def test_any_byte_that_is_changed_anywhere_is_found(made: Draw, data: st.DataObject) -> None:
    content = bytearray(made.content())
    assert holds(bytes(content))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    assert not holds(bytes(content))


@given(DRAWS)
@settings(max_examples=20)
def test_a_secret_in_capitals_is_not_the_published_one(made: Draw) -> None:
    content = made.content()
    (secret,) = re.findall(rb'"secret":"([0-9a-f]{64})"', content)
    assert secret.upper() == secret or not holds(content.replace(secret, secret.upper()))


@given(DRAWS, st.data())
@settings(max_examples=80)
def test_lines_left_out_doubled_or_exchanged_are_found(made: Draw, data: st.DataObject) -> None:
    lines = made.lines()
    one, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    changed = data.draw(
        st.sampled_from(
            [
                lines[:one] + lines[one + 1 :],
                [*lines[:one], lines[other], *lines[one:]],
                [lines[other] if at == one else lines[one] if at == other else line for at, line in enumerate(lines)],
            ]
        )
    )
    assert (changed == lines) or not holds(b"".join(line + b"\n" for line in changed))


@given(DRAWS)
def test_winners_are_entered_win_once_and_fill_the_places_in_order(made: Draw) -> None:
    winners = made.winners()
    codes = [won.code for won in winners]
    assert len(set(codes)) == len(codes) == min(len(made.entries), 4)
    assert all(1 <= won.ticket <= made.entries[won.code] for won in winners)
    assert [(won.rank, won.place) for won in winners] == [(1, 1), (2, 1), (2, 2), (2, 3)][: len(winners)]
