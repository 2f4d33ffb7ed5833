"""Who is served when: lanes, cells, their queues and what they tell. Real answers are tested in tests/concurrency."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from server.web.metrics import LaneReport
from tests.support.wires import OTHER, OWNER, Wire, claim, opened, redemption
from wallet import QueueFull
from wallet.cells import Cells
from wallet.lanes import Answer, Figures, Lanes


async def test_a_caller_with_a_thousand_items_makes_nobody_else_wait_behind_them() -> None:
    wire = Wire()
    lane = await opened(wire, batch=10)
    wire.gate.clear()
    greedy = [asyncio.create_task(lane.post(claim(OWNER, n))) for n in range(1000)]
    tills = [asyncio.create_task(lane.post(redemption(10_000 + n, terminal=1))) for n in range(500)]
    await asyncio.sleep(0.01)
    single = asyncio.create_task(lane.post(claim(OTHER)))
    await asyncio.sleep(0)
    called = len(wire.batches)
    wire.gate.set()
    await single
    assert [OTHER in [item["owner"] for item in batch] for batch in wire.batches[called:][:2]].count(True) == 1
    assert sum(task.done() for task in greedy) <= 4
    await asyncio.gather(*greedy, *tills)
    await lane.close()


async def test_items_of_one_wallet_run_one_at_a_time_in_their_order_over_all_lanes() -> None:
    wires = [Wire(), Wire(), Wire()]
    lane = await opened(*wires)
    sent: list[int] = []
    for wire in wires:
        wire._fails = lambda items: sent.extend(item["terms"] for item in items if item["owner"] == OWNER)  # type: ignore[func-returns-value]
    others = [lane.post(claim(1000 + n, -1)) for n in range(200)]
    await asyncio.gather(*(lane.post(claim(OWNER, n)) for n in range(1, 60)), *others)
    assert sent == list(range(1, 60))
    owners = [[item["owner"] for item in batch] for wire in wires for batch in wire.batches]
    assert all(batch.count(OWNER) <= 1 for batch in owners)
    await lane.close()


async def test_one_terminal_alone_fills_whole_batches() -> None:
    wire = Wire()
    lane = await opened(wire, batch=50)
    await asyncio.gather(*(lane.post(redemption(n, terminal=1)) for n in range(200)))
    assert [len(batch) for batch in wire.batches] == [50] * 4
    await lane.close()


async def test_a_call_holds_residents_of_one_cell_and_says_a_bucket_of_it() -> None:
    wires = [Wire(), Wire()]
    waiting = iter(wires)

    async def connect() -> Any:
        return next(waiting)

    def lanes_of(figures: Figures) -> Lanes:
        return Lanes(connect, "post_batch", first=3, count=1, queue=4096, batch=10, figures=figures)

    cells = Cells([0] * 512 + [512] * 512, lanes_of)
    await cells.open()
    await asyncio.gather(*(cells.post(claim(owner)) for owner in range(0, 2048, 8)))
    for wire, low in zip(wires, (0, 512), strict=True):
        assert sum(len(batch) for batch in wire.batches) == 128
        buckets = [*wire.sent_to, *(item["b"] for batch in wire.batches for item in batch)]
        assert all(low <= b < low + 512 for b in buckets)
    assert (cells.counts.items, cells.depth, len(cells.calls)) == (256, 0, cells.counts.calls)
    await cells.close()


async def test_a_cell_whose_node_is_stuck_holds_nobody_of_another_up() -> None:
    stuck, well = Wire(), Wire()
    waiting = iter((stuck, well))
    stuck.gate.clear()

    async def connect() -> Any:
        return next(waiting)

    cells = Cells(
        [0] * 512 + [512] * 512,
        lambda figures: Lanes(connect, "post_batch", first=0, count=1, queue=9, batch=2, figures=figures),
    )
    await cells.open()
    behind = [asyncio.create_task(cells.post(claim(owner))) for owner in range(8)]
    await asyncio.sleep(0.01)
    answers = [await cells.post(claim(owner)) for owner in range(512, 540)]
    assert all(isinstance(one, Answer) for one in answers) and not any(task.done() for task in behind)
    assert cells.depth == 6
    stuck.gate.set()
    await asyncio.gather(*behind)
    await cells.close()


async def test_a_caller_that_hangs_up_before_its_item_is_sent_has_not_sent_it() -> None:
    wire = Wire()
    lane = await opened(wire)
    wire.gate.clear()
    first = asyncio.create_task(lane.post(claim(1)))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(lane.post(claim(owner))) for owner in (2, 3, 4, 4, 4, 1, 1)]
    await asyncio.sleep(0)
    for task in (later[0], later[2], later[3], later[5]):
        task.cancel()
    await asyncio.sleep(0)
    wire.gate.set()
    await asyncio.gather(first, later[1], later[4], later[6])
    sent = sorted(item["owner"] for batch in wire.batches for item in batch)
    assert sent == [1, 1, 3, 4] and lane.dropped == 4 and lane.depth == 0
    await lane.close()


async def test_a_full_queue_says_how_long_it_will_take_to_drain() -> None:
    wire = Wire()
    lane = await opened(wire, queue=40, batch=2)
    wire.gate.clear()
    waiting = [asyncio.create_task(lane.post(claim(n))) for n in range(2)]
    await asyncio.sleep(0.01)
    waiting += [asyncio.create_task(lane.post(claim(n))) for n in range(2, 42)]
    await asyncio.sleep(0.01)
    lane._per_item_s = 0.5
    with pytest.raises(QueueFull) as full:
        await lane.post(claim(99))
    assert full.value.retry_after_s == 20
    wire.gate.set()
    await asyncio.gather(*waiting)
    await lane.close()


async def test_lanes_that_are_free_divide_what_waits() -> None:
    wires = [Wire(), Wire(), Wire()]
    lane = await opened(*wires)
    for wire in wires:
        wire.gate.clear()
    busy = asyncio.create_task(lane.post(claim(1000)))
    await asyncio.sleep(0.01)
    free = [wire for wire in wires if not wire.batches]
    for wire in free:
        wire.gate.set()
    await asyncio.gather(*(lane.post(claim(n)) for n in range(65)))
    assert len(free) == 2 and sorted(len(batch) for wire in free for batch in wire.batches) == [32, 33]
    await asyncio.gather(*(lane.post(claim(n)) for n in range(8)))
    assert sorted(len(batch) for wire in free for batch in wire.batches) == [8, 32, 33], "few are not worth two calls"
    await asyncio.gather(*(lane.post(claim(n)) for n in range(9)))
    assert sorted(len(batch) for wire in free for batch in wire.batches) == [1, 8, 8, 32, 33]
    for wire in wires:
        wire.gate.set()
    await busy
    await lane.close()


async def test_two_lanes_drain_a_queue_in_half_the_time() -> None:
    one, two = Wire(), Wire()
    lane = await opened(one, two, queue=40, batch=2)
    one.gate.clear()
    two.gate.clear()
    waiting = [asyncio.create_task(lane.post(claim(n))) for n in range(4)]
    await asyncio.sleep(0.01)
    waiting += [asyncio.create_task(lane.post(claim(n))) for n in range(4, 44)]
    await asyncio.sleep(0.01)
    lane._per_item_s = 0.5
    with pytest.raises(QueueFull) as full:
        await lane.post(claim(99))
    assert (full.value.retry_after_s, full.value.each_s) == (10, 0.25)
    one.gate.set()
    two.gate.set()
    await asyncio.gather(*waiting)
    await lane.close()


async def test_how_long_an_item_and_a_call_take_is_a_running_mean_in_which_the_newest_counts_a_fifth() -> None:
    lane, began = await opened(Wire()), time.monotonic()
    for size in (10, 3, 1):
        await asyncio.gather(*(lane.post(claim(n)) for n in range(size)))
    per_item_s = per_call_s = 0.0
    for call in lane.calls:
        per_item_s += (call.took_s / call.size - per_item_s) / 5
        per_call_s += (call.took_s - per_call_s) / 5
    assert [call.size for call in lane.calls] == [10, 3, 1]
    assert all(0 <= call.waited_s <= time.monotonic() - began for call in lane.calls)
    assert (lane._per_item_s, lane._per_call_s) == pytest.approx((per_item_s, per_call_s))
    await lane.close()


async def test_one_caller_leaves_room_in_the_queue_for_others() -> None:
    wire = Wire()
    lane = await opened(wire, queue=40)
    wire.gate.clear()
    mine = [asyncio.create_task(lane.post(claim(OWNER, n))) for n in range(50)]
    await asyncio.sleep(0.01)
    assert sum(task.done() and isinstance(task.exception(), QueueFull) for task in mine) == 40
    others = [asyncio.create_task(lane.post(claim(100 + n))) for n in range(30)]
    await asyncio.sleep(0)
    wire.gate.set()
    await asyncio.gather(*others, *(task for task in mine if not task.done()))
    assert lane.counts.refused == 40
    await lane.close()


async def test_closing_sends_what_waits_in_lines_and_chains() -> None:
    lane = await opened(Wire(), Wire(), batch=3)
    waiting = [asyncio.create_task(lane.post(claim(n % 4, n))) for n in range(60)]
    await asyncio.sleep(0)
    await lane.close()
    assert all(isinstance(task.result(), Answer) for task in waiting)
    with pytest.raises(QueueFull):
        await lane.post(claim(1))


async def test_what_the_lanes_did_is_reported_once() -> None:
    def read(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"chengxin_vault_{name}", labels) or 0.0

    names = ("calls_total", "items_total", "batch_items_sum", "wait_seconds_count", "resent_items_total")
    wire = Wire(fails=lambda items: asyncpg.DeadlockDetectedError() if len(items) > 1 else None)
    lane, report = await opened(wire), LaneReport()
    before = {name: read(name) for name in names} | {"deadlock": read("troubles_total", kind="deadlock")}
    await asyncio.gather(*(lane.post(claim(n)) for n in range(5)))
    report.take(lane)
    report.take(lane)
    after = {name: read(name) for name in names} | {"deadlock": read("troubles_total", kind="deadlock")}
    assert {name: after[name] - before[name] for name in after} == {
        "calls_total": 5, "items_total": 5, "batch_items_sum": 5, "wait_seconds_count": 5, "resent_items_total": 5,
        "deadlock": 1,
    }  # fmt: skip
    assert read("batch_limit") == 100 and read("waiting") == 0
    await lane.close()


async def test_what_the_vault_wants_again_goes_before_all_who_came_later_and_in_its_order() -> None:
    wire = Wire()
    lane = await opened(wire, queue=12, batch=3)
    wire.gate.clear()
    later = [asyncio.create_task(lane.post(claim(n, 7))) for n in range(10, 16)]
    others = [asyncio.create_task(lane.post(claim(n, 8))) for n in range(20, 23)]
    await asyncio.sleep(0.01)
    laid_out = asyncio.Event()

    async def prepare() -> None:
        await laid_out.wait()

    again = [asyncio.create_task(lane.post_again(claim(n, 7), prepare, held=True)) for n in (1, 2)]
    await asyncio.sleep(0)
    mine = asyncio.create_task(lane.post_again(claim(11, 9), prepare, held=False))  # its wallet is under way
    wire.gate.set()
    await asyncio.gather(*others)
    assert [[item["owner"] for item in batch] for batch in wire.batches] == [[10, 11, 12], [20, 21, 22]]
    laid_out.set()
    await asyncio.gather(*later, *again, mine)
    assert [item["owner"] for batch in wire.batches[2:] for item in batch] in (
        [1, 2, 11, 13, 14, 15], [1, 2, 13, 14, 15, 11]
    )  # fmt: skip
    assert lane.depth == 0
    await lane.close()
