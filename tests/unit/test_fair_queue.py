"""The queue by itself: who finds room, who comes next, and what is put back, held and left."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.wires import claim, redemption
from wallet.fair_queue import FairQueue
from wallet.items import Item

Waiting = asyncio.Future[int]


def waiting() -> Waiting:
    return asyncio.get_running_loop().create_future()


def taken(queue: FairQueue[int], most: int = 99) -> list[int]:
    """The owners of what is taken and done with at once."""
    entries = queue.take(most)
    for entry in entries:
        queue.finish(entry)
    return [entry.item.owner for entry in entries]


async def test_a_caller_has_a_quarter_of_the_queue_and_one_place_at_least() -> None:
    for limit, share in ((1, 1), (4, 1), (7, 1), (8, 2), (40, 10)):
        queue: FairQueue[int] = FairQueue(limit)
        puts = [queue.put(redemption(n, terminal=1), waiting()) for n in range(share + 2)]
        assert puts == [True] * share + [False] * 2
        assert queue.depth == share


async def test_the_queue_holds_so_many_and_no_more_and_a_place_that_is_left_is_free() -> None:
    queue: FairQueue[int] = FairQueue(8)
    assert [queue.put(claim(n), waiting()) for n in range(1, 11)] == [True] * 8 + [False] * 2
    assert taken(queue, 3) == [1, 2, 3] and queue.depth == 5
    assert [queue.put(claim(n), waiting()) for n in range(11, 15)] == [True] * 3 + [False]


@pytest.mark.parametrize("again", [1, 2, 3])
async def test_what_was_put_back_counts_for_its_caller_until_it_is_taken(again: int) -> None:
    queue: FairQueue[int] = FairQueue(8)  # two places each
    for _ in range(again):
        queue.put_back(redemption(1, terminal=1), waiting())
    assert queue.depth == again
    room = [queue.put(redemption(10 + n, terminal=1), waiting()) for n in range(3)]
    assert room == [n < 2 - again for n in range(3)], "there is room for what is put back, and less for what is new"
    while taken(queue):
        pass
    assert (queue.depth, queue.ready) == (0, False)
    assert [queue.put(redemption(20 + n, terminal=1), waiting()) for n in range(3)] == [True, True, False]


async def test_what_was_put_back_is_next_of_all_and_of_its_wallet() -> None:
    queue: FairQueue[int] = FairQueue(100)
    first, second = claim(1, 7), claim(1, 8)
    queue.put(first, waiting())
    (under_way,) = queue.take(9)
    queue.put(second, waiting())
    queue.put(claim(2, 7), waiting())
    queue.put_back(first, waiting())
    assert queue.chained(first) == 2
    queue.finish(under_way)
    queue.put_back(claim(3, 7), waiting())
    assert taken(queue, 2) == [3, 2]
    (again,) = queue.take(9)
    assert again.item is first, "before the second of its wallet"
    queue.finish(again)
    assert [entry.item for entry in queue.take(9)] == [second]


async def test_held_terms_wait_for_their_last_holder_and_others_pass_them() -> None:
    queue: FairQueue[int] = FairQueue(100)
    queue.hold(7)
    queue.hold(7)
    for item in (claim(1, 7), claim(2, 8), claim(3, 7)):
        queue.put(item, waiting())
    queue.put_back(claim(4, 7), waiting())
    assert taken(queue) == [2] and queue.depth == 3
    queue.release(7)
    assert taken(queue) == [], "one still holds them"
    queue.put(claim(5, 7), waiting())
    queue.release(7)
    assert taken(queue, 2) == [4, 1], "what was put back is first"
    assert taken(queue) == [3, 5]
    with pytest.raises(KeyError):
        queue.release(7)


async def test_who_hung_up_leaves_his_place_and_his_chain_goes_on() -> None:
    queue: FairQueue[int] = FairQueue(8)
    items: list[tuple[Item, Waiting]] = [(claim(1, n), waiting()) for n in range(2)]
    for item, future in items:
        assert queue.put(item, future) is True
    assert queue.put(claim(1, 9), waiting()) is False
    items[0][1].cancel()
    assert [entry.item.terms for entry in queue.take(9)] == [1]
    assert (queue.dropped, queue.depth) == (1, 0)
