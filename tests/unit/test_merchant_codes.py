"""Invitation and enrolment codes."""

from __future__ import annotations

from server.kit.crypto import BlindIndex
from server.merchants.authority import Authority
from server.merchants.codes import ALPHABET, draw_code, hash_of, normalise

INDEX = BlindIndex(b"k" * 32)


def test_a_drawn_code_reads_back_as_itself() -> None:
    code = draw_code()
    assert normalise(code) == code.replace("-", "")
    assert set(code) <= set(ALPHABET) | {"-"}


def test_case_spaces_hyphens_and_look_alikes_do_not_matter() -> None:
    assert normalise(" oil23 - ab cde ") == "01123ABCDE"
    assert hash_of(INDEX, "OIL23-ABCDE", purpose="p") == hash_of(INDEX, "01123abcde", purpose="p")


def test_what_cannot_be_a_code_has_no_hash() -> None:
    for typed in ("", "ABCDE", "ABCDE-FGHJKM", "UUUUU-UUUUU", "一二三四五六七八九十", "x" * 1000):
        assert hash_of(INDEX, typed, purpose="p") is None


def test_the_same_code_of_another_purpose_hashes_differently() -> None:
    assert hash_of(INDEX, "01234-56789", purpose="a") != hash_of(INDEX, "01234-56789", purpose="b")


def test_managers_outrank_cashiers_and_auditors_only_and_owners_outrank_all() -> None:
    manager = Authority(1, 1, "manager", False, frozenset({7}))
    owner = Authority(2, 1, "owner", True, frozenset())
    assert [manager.outranks(r) for r in ("owner", "manager", "cashier", "auditor")] == [False, False, True, True]
    assert all(owner.outranks(r) for r in ("owner", "manager", "cashier", "auditor"))


def test_a_manager_of_one_store_covers_neither_others_nor_all() -> None:
    manager = Authority(1, 1, "manager", False, frozenset({7}))
    assert (manager.covers(7), manager.covers(8), manager.covers(None)) == (True, False, False)
