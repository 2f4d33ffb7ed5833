"""What two administrators do in the console, over HTTP: an editor makes it, an approver approves it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from server.sandbox.year.account import Unexpected
from server.sandbox.year.books import Ids
from server.sandbox.year.console import Office, until
from server.sandbox.year.plan import CAMPAIGNS, HONOUR, LOTTERY, SEGMENT, TEMPLATES, VOUCHERS
from server.sandbox.year.worth import most_paid_fen

DOCUMENT = "澄信办〔2026〕{}号"


async def make_offers(office: Office, merchants: dict[str, str], ids: Ids) -> None:
    """The whole plan: templates first, as others name them, then the lottery, then campaigns."""
    for number, template in enumerate(TEMPLATES, 101):
        ids.templates[template.key] = await live(office, "/coupon-templates", template.body(number, merchants))
    # A lottery needs prizes that can be given.
    await _settled(office, f"/coupon-templates/{ids.templates['prize']}", {"active"})
    named = {f"@{key}": id for key, id in ids.templates.items()}
    made = await office.call("editor", "POST", "/lotteries", _with_ids(LOTTERY, named))
    await office.call("editor", "POST", f"/lotteries/{made['id']}/submit")
    await office.call("approver", "POST", f"/lotteries/{made['id']}/publish")
    ids.lottery = named["@draw"] = str(made["id"])
    for number, campaign in enumerate(CAMPAIGNS, 1):
        body = _with_ids(campaign.body(number), named)
        ids.campaigns[campaign.key] = await live(office, "/campaigns", body)


async def live(office: Office, path: str, body: dict[str, Any]) -> str:
    """Made, submitted and approved; its id."""
    made = await office.call("editor", "POST", path, body)
    await office.call("editor", "POST", f"{path}/{made['id']}/submit")
    await office.call("approver", "POST", f"{path}/{made['id']}/approve")
    return str(made["id"])


async def _settled(office: Office, path: str, statuses: set[str]) -> dict[str, Any]:
    """Waits until the ledger has followed and the status is one of these."""

    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = await office.call("editor", "GET", path)
        return {"status": shown["status"], "settling": shown["settling"]}

    return await until(
        f"{path} becoming {statuses}", look, lambda seen: seen["status"] in statuses and not seen["settling"]
    )


async def all_settled(office: Office, ids: Ids) -> None:
    """Waits until nothing of the plan waits for the ledger."""
    paths = [f"/campaigns/{id}" for id in ids.campaigns.values()]
    paths += [f"/coupon-templates/{id}" for id in ids.templates.values()]
    for path in paths:
        await _settled(office, path, {"scheduled", "active", "paused", "ended"})


async def revise(office: Office, path: str, id: str, body: dict[str, Any], unplanned: tuple[str, ...]) -> datetime:
    """A new version with a review of its own; budgets stay as they are. Returns when it became live."""
    draft = {name: value for name, value in body.items() if name not in unplanned}
    await office.call("editor", "POST", f"{path}/{id}/versions", draft)
    await office.call("editor", "POST", f"{path}/{id}/submit")
    await office.call("approver", "POST", f"{path}/{id}/approve")

    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = await office.call("editor", "GET", f"{path}/{id}")
        return {"number": shown["version"]["number"], "live_at": shown["version"]["live_at"]}

    seen = await until(f"version 2 of {path}/{id}", look, lambda seen: seen["number"] == 2 and seen["live_at"])
    return datetime.fromisoformat(seen["live_at"])


async def top_up(office: Office, ids: Ids, template: str, coupons: int) -> None:
    """More of a coupon, and the money for it, by two people."""
    planned = next(one for one in TEMPLATES if one.key == template)
    path = f"/coupon-templates/{ids.templates[template]}"
    budgets = (await office.call("editor", "GET", path))["budgets"]
    amounts = {"coupons": coupons, "fen": coupons * most_paid_fen(planned)}
    for budget in budgets:
        body = {"amount": amounts[budget["unit"]], "document": DOCUMENT.format(190)}
        asked = await office.call("editor", "POST", f"/budgets/{budget['id']}/top-ups", body, key=office.key())
        await office.call("approver", "POST", f"/top-ups/{asked['id']}/approve")

    async def totals() -> dict[str, int]:
        shown = (await office.call("editor", "GET", path))["budgets"]
        return {one["unit"]: one["total"] for one in shown}

    wanted = {one["unit"]: one["total"] + amounts[one["unit"]] for one in budgets}
    await until(f"the top-up of {template}", totals, lambda seen: seen == wanted)


async def give_to_segment(office: Office, ids: Ids) -> int:
    """A coupon to everybody of a segment; how many there were."""
    segment = await office.call("editor", "POST", "/segments", SEGMENT)
    return await give(office, {"template_id": ids.templates["gift"], "segment_id": segment["id"]}, 191)


async def give_to_list(office: Office, ids: Ids, resident_ids: list[str]) -> tuple[str, int]:
    """A coupon to everybody on an uploaded list; the list, and how many there were."""
    file = csv_of([["resident_id"], *([one] for one in resident_ids)])
    taken = await office.upload("editor", "/recipient-lists", file, name="志愿之星")
    list_id = str(taken["recipient_list"]["id"])
    return list_id, await give(office, {"template_id": ids.templates["star"], "list_id": list_id}, 192)


async def honour(office: Office, list_id: str) -> datetime:
    """Everybody on a list is honoured by an administrator, and another one approves; when that was."""
    body = {"document": DOCUMENT.format(194), "occasion": HONOUR, "list_id": list_id}
    batch = await office.call("editor", "POST", "/facts/grants", body)
    done = await office.call("approver", "POST", f"/facts/batches/{batch['id']}/approve")
    await _told(office, batch["id"])
    return datetime.fromisoformat(done["approved_at"])


async def let_in(office: Office, files: Mapping[str, list[list[str]]]) -> None:
    """Facts of outside registers, a file for each kind: uploaded by one, approved by another, told by the worker."""
    batches = {}
    for kind, rows in files.items():
        taken = await office.upload(
            "editor", "/facts/imports", csv_of(rows), kind=kind, source="registers", document=DOCUMENT.format(195)
        )
        batches[kind] = taken["batch"]["id"]
        if taken["batch"]["taken"] != len(rows) - 1:
            raise Unexpected(f"of {len(rows) - 1} facts were taken: {taken}")
        await office.call("approver", "POST", f"/facts/batches/{batches[kind]}/approve")
    for kind, id in batches.items():
        told = await _told(office, id)
        if told != len(files[kind]) - 1:
            raise Unexpected(f"{len(files[kind]) - 1} facts were let in, {told} were new")


async def _told(office: Office, batch_id: str) -> int:
    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = await office.call("editor", "GET", f"/facts/batches/{batch_id}")
        return shown

    return int((await until("facts being told", look, lambda seen: seen["status"] == "finished"))["told"])


def csv_of(rows: list[list[str]]) -> bytes:
    """A file of these rows, as it is uploaded."""
    return ("\n".join(",".join(row) for row in rows) + "\n").encode()


async def give(office: Office, order: dict[str, Any], number: int) -> int:
    """A grant job, ordered by one and approved by another; how many coupons it gave."""
    job = await office.call("editor", "POST", "/grant-jobs", order | {"document": DOCUMENT.format(number)})
    await office.call("approver", "POST", f"/grant-jobs/{job['id']}/approve")

    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = (await office.call("editor", "GET", f"/grant-jobs/{job['id']}"))["job"]
        return shown

    done = await until(f"grant job {job['id']}", look, lambda seen: seen["status"] == "finished")
    return int(done["posted"])


async def upload_vouchers(office: Office, ids: Ids) -> None:
    """Codes that somebody else printed."""
    order = {"template_id": ids.templates["anniversary"], "mode": "uploaded", "document": DOCUMENT.format(193)}
    batch = await office.call("editor", "POST", "/voucher-batches", order)
    await office.upload(
        "editor", f"/voucher-batches/{batch['id']}/codes", csv_of([["code"], *([one] for one in VOUCHERS)])
    )
    await office.call("approver", "POST", f"/voucher-batches/{batch['id']}/approve")


def _with_ids(body: Any, named: dict[str, str]) -> Any:
    """The same with every @name replaced by its id."""
    if isinstance(body, dict):
        return {name: _with_ids(value, named) for name, value in body.items()}
    if isinstance(body, list):
        return [_with_ids(value, named) for value in body]
    return named[body] if isinstance(body, str) and body.startswith("@") else body
