"""How old the oldest transaction is, from numbers that everybody may see."""

from __future__ import annotations

from server.web.delays import OldestTransaction


def test_the_same_lowest_number_is_the_same_transaction() -> None:
    oldest = OldestTransaction()
    assert oldest.age_s(10, 10, 100.0) == 0, "nobody writes"
    assert oldest.age_s(10, 12, 101.0) == 0, "seen for the first time"
    assert oldest.age_s(10, 900, 107.5) == 6.5
    assert oldest.age_s(11, 900, 108.0) == 0, "that one has ended"
    assert oldest.age_s(11, 901, 110.0) == 2
    assert oldest.age_s(950, 950, 111.0) == 0
    assert oldest.age_s(950, 951, 112.0) == 0
