"""Bodies of the words that rules and segments are made of."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class NamedCode(Struct, frozen=True):
    """A code as it is written, and what people call it."""

    code: str
    name: str


class BandWord(Struct, frozen=True):
    """A band of today's scale; a higher `rank` is a better band."""

    code: str
    name: str
    rank: int


class AttributeWord(Struct, frozen=True):
    """What a fact carries: an amount in `unit`, or a code that is compared whole."""

    code: str
    name: str
    type: Literal["amount", "code"]
    unit: str | None


class FactWord(Struct, frozen=True):
    """A kind of fact. `happens`: how a rule's text begins; `source`: who tells it."""

    code: str
    name: str
    happens: str
    source: str
    attributes: list[AttributeWord]


class VocabularyReply(Struct, frozen=True):
    """The city's lists as they stand today, and the kinds of parts that a rule may have; the fields of each part are
    in the schema `Rule`."""

    bands: list[BandWord]
    towns: list[str]
    merchant_categories: list[NamedCode]
    interests: list[NamedCode]
    facts: list[FactWord]
    triggers: list[NamedCode]
    conditions: list[NamedCode]
    effects: list[NamedCode]
