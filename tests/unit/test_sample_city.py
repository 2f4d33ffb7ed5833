"""The sample city: repeatable, plausible to our checks, impossible in the world."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from server.people.id_number import birth_date, is_valid
from server.people.residents import clean_name
from server.sandbox.city import REGION, TOWNS, licence_check_character, sample_city
from server.sandbox.loader import campaign_draft, template_draft

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_the_same_seed_gives_the_same_city_and_another_seed_other_people() -> None:
    assert sample_city(7, residents=50) == sample_city(7, residents=50)
    assert sample_city(7, residents=50).residents != sample_city(8, residents=50).residents


def test_a_larger_city_begins_with_the_people_of_the_smaller_one() -> None:
    assert sample_city(7, residents=500).residents[:50] == sample_city(7, residents=50).residents


def test_every_resident_passes_our_checks_and_comes_from_a_place_that_does_not_exist() -> None:
    people = sample_city(3, residents=3000).residents
    for person in people:
        assert is_valid(person.id_number, today=TODAY), person.id_number
        assert person.id_number.startswith(REGION)
        assert birth_date(person.id_number) == person.born
        assert 18 <= TODAY.year - person.born.year <= 91
        assert person.born <= TODAY.replace(year=TODAY.year - 18)
        assert clean_name(person.name) == person.name
        assert person.phone.startswith("100")
        assert len(person.phone) == 11
        assert person.town in TOWNS
    for field in ("key", "id_number", "phone", "openid"):
        assert len({getattr(person, field) for person in people}) == len(people), f"{field} is not unique"


def test_merchants_have_stores_a_licence_and_people_of_every_role() -> None:
    city = sample_city()
    assert len({merchant.kind for merchant in city.merchants}) == len(city.merchants) == 10
    for merchant in city.merchants:
        assert "示例" in merchant.name
        assert {store.town for store in merchant.stores} <= set(TOWNS)
        assert licence_check_character(merchant.licence_number[:17]) == merchant.licence_number[17]
        assert {member.role for member in merchant.staff} == {"owner", "manager", "auditor", "cashier"}
        assert {member.store for member in merchant.staff} - {None} == {store.key for store in merchant.stores}


def test_a_known_credit_code_has_the_check_character_of_the_standard() -> None:
    assert licence_check_character("91350100M000100Y4") == "3"


def test_every_campaign_and_template_is_one_that_an_editor_could_save() -> None:
    city = sample_city()
    keys = {merchant.key: place for place, merchant in enumerate(city.merchants, 1)}
    for campaign in city.campaigns:
        campaign_draft(campaign, NOW).check()
    for template in city.templates:
        template_draft(template, keys, NOW).check()


@pytest.mark.parametrize("count", [0, -1, 2_000_001])
def test_a_city_of_no_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="residents must be between"):
        sample_city(residents=count)
