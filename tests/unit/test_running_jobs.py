"""Progress of long work, as it is told: figures that follow from each other, bars that end with the work."""

from __future__ import annotations

import pytest

from server import cli_jobs
from server.incentives.running_jobs import RunningJob, figures_of


def test_speed_and_remaining_time_follow_from_what_is_done_and_how_long_it_took() -> None:
    going = figures_of("voucher_batch", 7, "文号", "running", "", 400, 1_000, 20.0)
    assert (going.id, going.per_second, going.remaining_s) == ("7", 20.0, 30)
    for one in (
        figures_of("grant_job", 7, "文号", "running", "", 0, 1_000, 20.0),
        figures_of("grant_job", 7, "文号", "running", "", 0, 0, 0.0),
        figures_of("grant_job", 7, "文号", "paused", "template_paused", 400, 1_000, 20.0),
    ):
        assert one.remaining_s is None, "nobody can tell"
    late = figures_of("grant_job", 7, "文号", "finished", "", 990, 1_000, 99.0)
    assert (late.status, late.remaining_s) == ("settling", 1)


@pytest.mark.parametrize(("seconds", "told"), [(None, "-"), (0, "0:00:00"), (3_599, "0:59:59"), (90_061, "25:01:01")])
def test_a_time_is_told_in_hours_minutes_and_seconds(seconds: int | None, told: str) -> None:
    assert cli_jobs._clock(seconds) == told


async def test_bars_are_shown_until_nothing_is_under_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_jobs, "LOOK_EVERY_S", 0.0)
    half = figures_of("grant_job", 5, "文号", "running", "", 50, 100, 10.0)
    other = figures_of("voucher_batch", 6, "文号", "running", "", 1, 4, 10.0)
    looks: list[list[RunningJob]] = [[half, other], [half], []]

    async def look() -> list[RunningJob]:
        return looks.pop(0)

    assert await cli_jobs._watch(look) == []
    shown = capsys.readouterr().err
    assert "grants 5" in shown and "50/100" in shown and "codes 6" in shown and "4/4" in shown
