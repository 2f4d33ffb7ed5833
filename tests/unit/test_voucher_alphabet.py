"""What a code looks like, and which slips its check character notices."""

from __future__ import annotations

import pytest

from server.incentives.codes.alphabet import (
    ALPHABET,
    LETTERS,
    check_of,
    code_of,
    foreign_fits,
    is_slip,
    normal,
    prefix_fits,
    printed,
)

SECRET = b"s" * 32


def test_no_character_looks_like_another_and_their_number_is_a_prime() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 31
    assert set("01OIL") & set(ALPHABET) == set()


@pytest.mark.parametrize("prefix", ["", "QX", "QXQXQX"])
def test_a_code_is_prefix_letters_and_check_and_reads_back_from_paper(prefix: str) -> None:
    code = code_of(SECRET, prefix, 7)
    assert len(code) == len(prefix) + LETTERS + 1
    assert code.startswith(prefix)
    assert normal(printed(code, prefix)) == code
    assert not is_slip(code)


def test_codes_of_a_batch_differ_and_are_the_same_again() -> None:
    codes = [code_of(SECRET, "", ordinal) for ordinal in range(5_000)]
    assert len(set(codes)) == 5_000
    assert codes == [code_of(SECRET, "", ordinal) for ordinal in range(5_000)]
    assert not set(codes) & {code_of(b"t" * 32, "", ordinal) for ordinal in range(5_000)}


def test_every_letter_comes_about_equally_often() -> None:
    body = "".join(code_of(SECRET, "", ordinal)[:LETTERS] for ordinal in range(5_000))
    counts = [body.count(letter) for letter in ALPHABET]
    assert 0.8 < min(counts) / (len(body) / 31) < max(counts) / (len(body) / 31) < 1.2


def test_every_wrong_character_and_every_two_neighbours_changed_over_are_noticed() -> None:
    code = code_of(SECRET, "QX", 7)
    for place, letter in enumerate(code):
        for other in set(ALPHABET) - {letter}:
            assert is_slip(code[:place] + other + code[place + 1 :])
        swapped = code[:place] + code[place + 1 : place + 2] + letter + code[place + 2 :]
        assert swapped == code or len(swapped) != len(code) or is_slip(swapped)


@pytest.mark.parametrize("typed", ["qx-7h2k 9mpd", "ＱＸ７Ｈ２Ｋ９ＭＰＤ", " QX—7H2K·9MPD ", "QX_7H.2K9MPD"])
def test_how_it_is_typed_makes_no_difference(typed: str) -> None:
    assert normal(typed) == "QX7H2K9MPD"


def test_only_what_could_be_ours_is_called_a_slip() -> None:
    assert not any(is_slip(code) for code in ("", "ABC", "O" * 13, "1234567890123", "A" * 20))
    assert check_of("A" * LETTERS) != "Z" and is_slip("A" * LETTERS + "Z")


@pytest.mark.parametrize(
    ("prefix", "fits"), [("", True), ("QX7", True), ("QX0", False), ("qx", False), ("A" * 7, False)]
)
def test_a_prefix_is_of_the_same_letters(prefix: str, fits: bool) -> None:
    assert prefix_fits(prefix) is fits


@pytest.mark.parametrize(
    ("code", "fits"), [("A1B2C3D4", True), ("A1B2C3D", False), ("A" * 41, False), ("兑换码1234567", False)]
)
def test_codes_of_others_are_long_enough_not_to_be_guessed(code: str, fits: bool) -> None:
    assert foreign_fits(code) is fits
