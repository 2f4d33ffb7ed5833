"""The draw itself, without database, clock or chance: whoever has the published file can repeat it.

    digest   h = SHA-256(announcement line), then h = SHA-256(h ‖ entry line) for every entry; the last h
    seed     HMAC-SHA256(key: secret, digest ‖ beacon)
    score    HMAC-SHA256(key: seed, code ‖ ":" ‖ ticket number); the lowest of a person's tickets counts
    winners  persons by score, the lowest first: the places of rank 1, then those of rank 2, and so on

Lines are the bytes of the published file without their newline, entries in the order of their codes. `docs/lottery.md`
tells the same for people, with a program of twenty lines.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

SECRET_BYTES: Final = 32

#: The lowest score of a person, the code, and the number of the ticket that has it.
Scored = tuple[bytes, str, int]


def commitment_of(secret: bytes) -> bytes:
    """What is published before the draw: it fixes the secret and tells nothing about it."""
    return hashlib.sha256(secret).digest()


def first_link(announcement: bytes) -> bytes:
    """Where the chain of entries begins, so that its end also fixes what was announced."""
    return hashlib.sha256(announcement).digest()


def next_link(link: bytes, lines: Iterable[bytes]) -> bytes:
    """The chain after these entry lines; after the last one it is the digest."""
    for line in lines:
        link = hashlib.sha256(link + line).digest()
    return link


def seed_of(secret: bytes, digest: bytes, beacon: str) -> bytes:
    """The seed of all scores. `beacon`: the outside number that was named beforehand, empty when none was."""
    return hmac.digest(secret, digest + beacon.encode(), "sha256")


class Scores:
    """Scores of tickets under one seed."""

    def __init__(self, seed: bytes) -> None:
        self._keyed = hmac.new(seed, digestmod="sha256")

    def of(self, code: str, ticket: int) -> bytes:
        """The score of one ticket, counted from 1."""
        score = self._keyed.copy()
        score.update(f"{code}:{ticket}".encode())
        return score.digest()

    def best(self, code: str, tickets: int) -> Scored:
        """A person's lowest score and the ticket that has it."""
        score, ticket = min((self.of(code, number), number) for number in range(1, tickets + 1))
        return score, code, ticket


def lowest(scored: Iterable[Scored], count: int) -> list[Scored]:
    """The winners in order. Memory for `count` of them, however many entries there are."""
    return heapq.nsmallest(count, scored)


def places(counts: Sequence[tuple[int, int]], after: int = 0) -> Iterator[tuple[int, int]]:
    """(rank, place) of the winners in order, without the first `after`; `counts` is (rank, prizes) from rank 1 on."""
    passed = 0
    for rank, count in counts:
        for place in range(max(1, after - passed + 1), count + 1):
            yield rank, place
        passed += count
