"""Which HTTP status each refusal of the vault is (D19): a client's programme decides by it what to do next."""

from __future__ import annotations

from datetime import date

import pytest

from wallet import PlaceLimit, statuses
from wallet.errors import BudgetRefused, InFlight, QueueFull, Refused, TermsConflict, VaultError, VaultUnavailable
from wallet.statuses import STATUSES

FORBIDDEN = {"operation_not_permitted", "merchant_suspended", "ticket_foreign", "wrong_store"}
UNKNOWN = {"terms_not_found", "redemption_not_found", "posting_not_found"}
ASKED_WRONGLY = {
    "idempotency_mismatch", "idempotency_key_expired", "invalid_item", "order_amount_required", "order_amount_refused",
    "capture_too_large", "two_people_required", "order_no_required",
}  # fmt: skip
TRY_AGAIN = {"budget_busy"}


def test_every_refusal_has_the_http_status_of_its_kind() -> None:
    of_kind = {
        **dict.fromkeys(FORBIDDEN, 403),
        **dict.fromkeys(UNKNOWN, 404),
        **dict.fromkeys(ASKED_WRONGLY, 422),
        **dict.fromkeys(TRY_AGAIN, 503),
    }
    assert set(of_kind) <= {one.code for one in STATUSES.values()}
    for status in STATUSES.values():
        expected = 200 if status.number == 0 else of_kind.get(status.code, 409)
        assert (status.code, status.http) == (status.code, expected)


def test_who_shall_try_again_is_told_when_and_nobody_else() -> None:
    waits = {one: one().retry_after_s for one in (QueueFull, InFlight, VaultUnavailable, TermsConflict, BudgetRefused)}
    assert waits == {QueueFull: 1, InFlight: 1, VaultUnavailable: 2, TermsConflict: None, BudgetRefused: None}
    for status in STATUSES.values():
        assert (status.code, Refused.of(status.number).retry_after_s) == (
            status.code,
            1 if status.http == 503 else None,
        )


def test_a_refusal_is_a_replay_only_when_it_says_so() -> None:
    assert (VaultError().replayed, Refused(STATUSES[10]).replayed, Refused.of(10).replayed) == (False, False, False)
    assert Refused.of(10, replayed=True).replayed


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("template:1:redeem/store/count/day", "7", "本门店今日的名额已用完"),
        ("template:1:redeem/merchant/face_value_fen/month", "7", "本商户本月的优惠金额已用完"),
        ("template:1:issue/town/count/week", "华士镇", "华士镇本周的名额已用完"),
        ("template:1:issue/town/fen/total", "", "所在镇街的补贴金额已用完"),
        ("campaign:1:earn/campaign/points/total", "", "本活动的积分额度已用完"),
    ],
)
def test_who_meets_the_limit_of_a_place_is_told_which_and_no_number_of_it(name: str, place: str, words: str) -> None:
    limit = PlaceLimit(limit_id=name, place=place, period_start=date(2026, 11, 23))
    assert Refused(statuses.LIMIT_REACHED, limit=limit).message == words
    assert Refused(statuses.LIMIT_REACHED).message == "已达到限领或限用的上限"
