"""Own choices over HTTP, and bands from a file by `chengxin import-bands`, on the running house."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.sandbox.phone import ResidentPhone
from tests.support.databases import connected
from tests.support.play import chengxin, refused, send
from tests.support.town import Town


async def enrolled(town: Town) -> tuple[ResidentPhone, str]:
    """A resident and the ID number."""
    name, number, openid = await town.person()
    phone = ResidentPhone(town.http)
    await phone.log_in(await town.control.login_code(openid))
    await phone.bind(name, number)
    return phone, number


async def test_nothing_is_ticked_beforehand_and_campaigns_are_the_same_either_way(town: Town) -> None:
    phone, _ = await enrolled(town)
    first = await phone.call("GET", "/me/choices")
    assert (first["personalised"], first["interests"], first["version"], first["chosen_at"]) == (False, [], 0, None)
    assert {"code": "sport", "name": "运动健身"} in first["offered"]
    before = await phone.call("GET", "/campaigns")
    chosen = await phone.call("PUT", "/me/choices", {"personalised": True, "interests": ["sport", "reading"]})
    assert (chosen["personalised"], chosen["interests"], chosen["version"]) == (True, ["reading", "sport"], 1)
    during = await phone.call("GET", "/campaigns")
    off = await phone.call("PUT", "/me/choices", {"personalised": False, "interests": []})
    assert (off["version"], await phone.call("GET", "/me/choices")) == (2, off)
    after = await phone.call("GET", "/campaigns")
    stock = [[(one["template_id"], one["price_points"]) for one in seen["coupons"]] for seen in (before, during, after)]
    assert stock[0] == stock[1] == stock[2] != []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"personalised": True}, "interests"),
        ({"interests": []}, "personalised"),
        ({"personalised": "yes", "interests": []}, "personalised"),
        ({"personalised": True, "interests": ["sport", "religion"]}, "interests[1]"),
        ({"personalised": True, "interests": ["sport", "sport"]}, "interests[1]"),
    ],
)
async def test_a_choice_that_is_none_is_named(town: Town, body: dict[str, object], field: str) -> None:
    phone, _ = await enrolled(town)
    refused(await send(phone, "PUT", "/me/choices", json=body), 400, "invalid_field", field)


async def test_who_has_not_bound_a_name_has_nothing_to_choose(town: Town) -> None:
    _, _, openid = await town.person()
    phone = ResidentPhone(town.http)
    await phone.log_in(await town.control.login_code(openid))
    refused(await send(phone, "GET", "/me/choices"), 403, "binding_required")


async def test_a_file_of_bands_is_checked_counted_and_imported_once(town: Town, tmp_path: Path) -> None:
    _, number = await enrolled(town)
    stranger = (await town.person())[1]
    file = tmp_path / "bands.csv"
    file.write_text(f"身份证号,信用等级,镇街\n{number},AA,华士镇\n{stranger},A,华士镇\n", "gb18030")
    today = await city_day(town)
    options = ["import-bands", str(file), "--source", "信用办1号", "--as-of", today, "--encoding", "gb18030", "--json"]
    for dry, expected in ((True, 1), (False, 1), (False, 0)):
        status, out, err = chengxin(town, *options, *(["--dry-run"] if dry else []))
        assert status == 0, out + err
        told = json.loads(out)
        assert (told["lines"], told["enrolled"], told["unknown"], told["dry_run"]) == (2, 1, 1, dry)
        assert (told["bands_changed"], told["towns_changed"], told["risen"]) == (expected,) * 3
        assert number not in out + err and stranger not in out + err


async def test_a_file_that_is_not_fit_is_refused_with_its_lines_and_65(town: Town, tmp_path: Path) -> None:
    _, number = await enrolled(town)
    file, today = tmp_path / "bands.csv", await city_day(town)
    file.write_text(f"id_number,band\n{number},A\n{number},AAAA\nx,A\n")
    options = ["import-bands", str(file), "--source", "信用办1号", "--as-of", today]
    status, out, err = chengxin(town, *options)
    assert status == 65, out + err
    assert out.splitlines()[:2] == ["第3行: 等级不在当日的等级版本中", "第4行: 身份证号不正确"]
    assert number not in out + err
    file.write_text("id_number,age\n")
    status, out, err = chengxin(town, *options)
    assert (status, "第2列不是可用的列" in err) == (65, True), err
    status, out, err = chengxin(town, *options[:-1], "2099-01-01")
    assert status == 65, err  # the header is read first
    file.write_text(f"id_number,band\n{number},A\n")
    status, out, err = chengxin(town, *options[:-1], "2099-01-01")
    assert (status, err.startswith("Error: as_of_in_future (as_of): ")) == (1, True), err
    status, out, err = chengxin(town, *options, "--encoding", "klingon")
    assert (status, "klingon" in err) == (65, True), err


async def test_lists_are_set_from_a_file_and_a_band_of_a_version_never_changes(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "lists.json"
    file.write_text(json.dumps({"interests": [{"code": code, "name": code} for code in ("sport", "reading", "opera")]}))
    assert chengxin(town, "set-lists", str(file))[0] == 0
    phone, _ = await enrolled(town)
    offered = (await phone.call("GET", "/me/choices"))["offered"]
    assert [one["code"] for one in offered] == ["sport", "reading", "opera"]
    scale = {"version": 1, "valid_from": "2026-01-01", "bands": [{"code": "S", "name": "标准", "rank": 7}]}
    file.write_text(json.dumps({"band_scale": scale}))
    status, _, err = chengxin(town, "set-lists", str(file))
    assert (status, err.startswith("Error: band_scale_fixed (band_scale.version): ")) == (1, True), err


async def city_day(town: Town) -> str:
    async with connected(town.database.worker) as worker:
        return str(await worker.fetchval("SELECT vault.today()"))
