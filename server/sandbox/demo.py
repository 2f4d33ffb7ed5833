"""`make demo`: engines, database, sample city, server, worker, the walk, and then it stays up for trying out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from server.config import Settings
from server.kit.db import close_house, open_house
from server.merchants.models import Store
from server.sandbox.city import City, sample_city
from server.sandbox.engine_user import EngineFailed
from server.sandbox.engines import Engines
from server.sandbox.environment import ADMIN_PASSWORD, ADMINISTRATORS, write_env_file
from server.sandbox.house import House, HouseFailed, prepare_database
from server.sandbox.loader import load_city
from server.sandbox.narrator import WalkFailed
from server.sandbox.phone import Refusal
from server.sandbox.walk import walk
from server.sandbox.year.console import NotInTime

T = TypeVar("T")
DATABASE = "chengxin"
SEED = 2026
WALK_STORE, WALK_CASHIER = "老街面馆（示例）北大街店", "oSampleStaff-restaurant-1-store-1-cashier"


async def run_demo(*, folder: Path, port: int, residents: int, once: bool) -> int:
    """Runs the demo; the exit status is 0 when the walk went through."""
    console = Console()
    began = time.perf_counter()
    folder = await asyncio.to_thread(_made, folder)
    engines = Engines(folder / "engines")
    console.rule("澄信 Chengxin")
    try:
        urls = _timed(console, "PostgreSQL 与 Valkey · engines", engines.start)
    except EngineFailed as failure:
        console.print(f"[red]{type(failure).__name__}: {failure}[/]", soft_wrap=True)
        return 1
    logs = {"CHENGXIN_LOG_LEVEL": os.environ.get("CHENGXIN_LOG_LEVEL", "info")}
    house = House(urls, DATABASE, folder=folder, port=port, extra=logs)
    city = sample_city(SEED, residents=residents)
    try:
        await _step(console, "数据库与迁移 · migrations", prepare_database(urls, DATABASE))
        house.start_wechat()
        write_env_file(folder / "env", house.environment)
        loaded = await _step(
            console, "示例城市 · sample city", load_city(_settings(house), seed=SEED, residents=residents)
        )
        console.print(
            f"      [cyan]{loaded.merchants} 商户, {loaded.campaigns} 活动, {loaded.templates} 券模板"
            f"{'' if loaded.fresh else ', 已在库中'}[/]"
        )
        store_id = await _store_id(urls.dsn("app", DATABASE))
        await _step(console, f"服务启动 · {house.environment['CHENGXIN_WORKERS']} workers", house.start())
        console.rule("一次核销 · one redemption")
        await walk(
            base_url=house.base_url,
            wechat_base=house.wechat_base,
            worker_dsn=urls.dsn("worker", DATABASE),
            city=city,
            store=(store_id, WALK_CASHIER),
            console=console,
            folder=folder,
        )
        console.rule(f"[green]{time.perf_counter() - began:.1f} s")
        if not once:
            _invite(console, house, city, store_id, folder)
            await _until_interrupted()
        return 0
    except (HouseFailed, WalkFailed, Refusal, NotInTime) as failure:
        console.print(f"[red]{type(failure).__name__}: {failure}[/]", soft_wrap=True)
        return 1
    finally:
        house.stop()
        engines.stop()


def _settings(house: House) -> Settings:
    with _environment(house.environment):
        return Settings()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _store_id(dsn: str) -> str:
    await open_house(dsn)
    try:
        return str((await Store.get(name=WALK_STORE)).id)
    finally:
        await close_house()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _timed(console: Console, what: str, doing: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = doing()
    console.print(f"  {what}  [green]{time.perf_counter() - started:.1f} s[/]")
    return result


async def _step(console: Console, what: str, doing: Awaitable[T]) -> T:
    started = time.perf_counter()
    result = await doing
    console.print(f"  {what}  [green]{time.perf_counter() - started:.1f} s[/]")
    return result


def _invite(console: Console, house: House, city: City, store_id: str, folder: Path) -> None:
    one = city.residents[0]
    programs = Path(os.path.relpath(Path(sys.executable).parent))
    env_file = os.path.relpath(folder / "env")
    env_file = env_file if os.sep in env_file else f"./{env_file}"
    post = "-H 'content-type: application/json' -d"
    lines = f"""
[bold]接口文档[/]      {house.base_url}/docs      {house.base_url}/openapi.json
[bold]健康与指标[/]    {house.base_url}/readyz    {house.base_url}/metrics
[bold]微信替身[/]      {house.wechat_base}
[bold]日志[/]          {os.path.relpath(folder)}/serve.log, worker.log

[bold]试一试[/]
  # 居民: 从替身取登录码 (只能用一次), 再登录
  curl -s {house.wechat_base}/_sim/login-codes {post} '{{"openid": "{one.openid}"}}'
  curl -s {house.base_url}/api/mp/v1/sessions {post} '{{"code": "…"}}'
  # 实名: {one.name} {one.id_number} (不存在的号码)
  # 店员: openid {WALK_CASHIER}, 同样取登录码
  curl -s {house.base_url}/api/mp/v1/merchant/sessions {post} '{{"code": "…", "store_id": "{store_id}"}}'
  # 命令行: 此环境的全部设置 (仅本机示例)
  . {env_file}
  {programs}/chengxin check-ledger     # 也可 expire-points, dead-letters list, ledger-month list, create-admin …
  # 管理员: 动态码 30 秒一变, 每个只用一次
  {programs}/python -c 'import pyotp; print(pyotp.TOTP("{ADMINISTRATORS[0].totp_secret}").now())'
  curl -s {house.base_url}/api/admin/v1/sessions {post} '{{"username": "{ADMINISTRATORS[0].username}", \
"password": "{ADMIN_PASSWORD}", "totp": "…"}}'
  # 一整年: 多种活动, 移动的时钟, 分毫不差的对账 (另用一个库, 三到五分钟)
  make demo YEAR=1
[bold]管理员[/] (密码 {ADMIN_PASSWORD})"""
    # Not wrapped: what is to be copied into a shell stays on its line.
    console.print(lines, soft_wrap=True)
    for account in ADMINISTRATORS:
        console.print(f"  {account.username:10} {account.role:18} TOTP 密钥 {account.totp_secret}", soft_wrap=True)
    console.print("\nCtrl-C 结束")


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
