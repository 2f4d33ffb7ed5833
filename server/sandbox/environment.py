"""The sandbox's settings: what the processes find in their environment in the demo and in tests.

Every secret begins with the word "sandbox", so that a production start refuses it.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.sandbox.engines import EngineUrls
from server.sandbox.wechat import SANDBOX_COUPON_MESSAGE, SANDBOX_POINTS_MESSAGE

ADMIN_PASSWORD = "sandbox-only-2026"


def secret(name: str) -> str:
    """32 bytes that everybody knows, as base64."""
    return base64.b64encode(f"sandbox-{name}-".encode().ljust(32, b"x")[:32]).decode()


def sandbox_environment(
    urls: EngineUrls,
    *,
    database: str,
    wechat_base: str,
    appid: str,
    app_secret: str,
    realname_key: str,
    port: int = 0,
    workers: int = 2,
) -> dict[str, str]:
    """Environment variables for one sandbox house."""
    settings = {
        "environment": "sandbox",
        "database_url": urls.dsn("app", database),
        "worker_database_url": urls.dsn("worker", database),
        "migration_url": urls.dsn("owner", database),
        "redis_url": urls.redis or "",
        "host": "127.0.0.1",
        "port": str(port),
        "workers": str(workers),
        "token_keys": f"sandbox1:{secret('token')}",
        "data_keys": f"1:{secret('data')}",
        "index_key": secret("index"),
        "credential_key": secret("credential"),
        "ticket_keys": f"1:{secret('ticket')}",
        "job_key": secret("job"),
        "wechat_appid": appid,
        "wechat_secret": app_secret,
        "wechat_api_base": wechat_base,
        "realname_base": wechat_base,
        "realname_key": realname_key,
        "notice_points_message": SANDBOX_POINTS_MESSAGE,
        "notice_coupon_message": SANDBOX_COUPON_MESSAGE,
        "notice_from_hour": "0",
        "notice_until_hour": "24",
        "log_level": "warning",
    }
    return {f"CHENGXIN_{name.upper()}": value for name, value in settings.items()}


def write_env_file(path: Path, environment: Mapping[str, str]) -> None:
    """The settings for a shell to source, readable by nobody else: `. .chengxin/env && chengxin check-ledger`."""
    path.unlink(missing_ok=True)
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(lines, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class SampleAdministrator:
    """An account of the console that the sample city brings along."""

    username: str
    role: str
    totp_secret: str


ADMINISTRATORS = (
    SampleAdministrator("editor", "editor", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"),
    SampleAdministrator("approver", "approver", "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU"),
    SampleAdministrator("merchants", "merchant_manager", "MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK"),
    SampleAdministrator("accountant", "accountant", "MJXW623NMFXGIZLSMJXW623NMFXGIZLS"),
    SampleAdministrator("director", "director", "ORSXG5BNMRUXEZLDORXXELLTMFXGI2LP"),
    SampleAdministrator("auditor", "auditor", "NB2W45DFOIZA2LKNB2W45DFOIZALKNB2"),
)
