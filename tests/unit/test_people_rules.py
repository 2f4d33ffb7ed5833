from __future__ import annotations

from datetime import date

import pyotp
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from miniprogram_api.present import mask_id_number, mask_name, mask_phone
from server.people.administrators import hash_of_nothing, totp_step
from server.people.errors import NameInvalid, RoleUnknown
from server.people.lockout import GROWTH, Growth, rest_s
from server.people.residents import age_on, clean_id_number, clean_name
from server.people.roles import SCOPES, check_roles, scopes_of


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (mask_name("张三"), "张*"),
        (mask_name("张三丰"), "张**"),
        (mask_name("阿依古丽·买买提"), "阿**"),
        (mask_name("张"), "张*"),
        (mask_id_number("320281199001011234"), "3202**********1234"),
        (mask_id_number("12345678"), "********"),
        (mask_phone("13812340000"), "138****0000"),
        (mask_phone("12345"), "***45"),
    ],
)
def test_personal_data_is_shown_masked(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("failures", "expected"), [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (11, 1920), (12, 3600), (10_000, 3600)]
)
def test_the_delay_after_wrong_passwords_doubles_up_to_an_hour(failures: int, expected: int) -> None:
    assert rest_s(failures, GROWTH["account"]) == expected


def test_an_address_may_fail_more_often_than_an_account() -> None:
    assert rest_s(19, GROWTH["ip"]) == 0
    assert rest_s(20, GROWTH["ip"]) == 30
    assert rest_s(3, Growth(free=1, base_s=1, cap_s=3)) == 3


def test_a_one_time_code_is_accepted_one_step_early_or_late_and_tells_its_step() -> None:
    secret = pyotp.random_base32()
    now = 1_800_000_000.0
    for offset in (-1, 0, 1):
        assert totp_step(secret, pyotp.TOTP(secret).generate_otp(60_000_000 + offset), now) == 60_000_000 + offset
    assert totp_step(secret, pyotp.TOTP(secret).generate_otp(60_000_002), now) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "１２３４５６", "abcdef", "------", "12 456"])
def test_what_is_not_six_ascii_digits_is_no_one_time_code(code: str) -> None:
    assert totp_step(pyotp.random_base32(), code, 1_800_000_000.0) is None


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        (date(2008, 5, 2), date(2026, 5, 1), 17),
        (date(2008, 5, 1), date(2026, 5, 1), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
    ],
)
def test_age_counts_full_years(born: date, today: date, age: int) -> None:
    assert age_on(born, today) == age


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" 张三 ", "张三"),
        ("阿依古丽•买买提", "阿依古丽·买买提"),
        ("阿依古丽．买买提", "阿依古丽·买买提"),
        ("Li Ming", "Li Ming"),
    ],
)
def test_a_name_is_kept_as_it_stands_on_the_card(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize("given", ["", " ", "张", "张三1", "<b>张三</b>", "·张三", "张三·", "张\x00三", "a", "张" * 31])
def test_what_cannot_be_a_name_is_refused(given: str) -> None:
    with pytest.raises(NameInvalid):
        clean_name(given)


def test_full_width_digits_and_a_small_x_are_understood_in_an_id_number() -> None:
    assert clean_id_number(" ３２０２８１１９９００１０１１２３x ") == "32028119900101123X"


def test_roles_add_up_and_an_unknown_role_gives_nothing() -> None:
    assert scopes_of(["director"]) == SCOPES
    assert "campaign.activate" not in scopes_of(["editor"])
    assert "campaign.edit" not in scopes_of(["approver"])
    assert scopes_of(["no-such-role"]) == frozenset()
    with pytest.raises(RoleUnknown):
        check_roles(["editor", "no-such-role"])


def test_a_name_that_nobody_has_costs_the_work_of_a_wrong_password() -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=64)
    nothing, wrong = hash_of_nothing(hasher), hasher.hash("another")
    assert extract_parameters(nothing) == extract_parameters(wrong)
    for known in (nothing, wrong):
        with pytest.raises(VerifyMismatchError):  # computed and compared, not refused as no hash
            hasher.verify(known, "a password")
