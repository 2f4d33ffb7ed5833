"""Settings from the environment, and only from there: typed, complete, secrets never printed.

Every field is `CHENGXIN_<NAME>`. `check_production()` is what a production start calls before it opens anything.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.kit.crypto import Keyring

MIN_SECRET_BYTES: Final = 32
SANDBOX_MARK: Final = "sandbox"
#: The exit status of a process whose settings are unfit: starting it again would not help.
EX_CONFIG: Final = 78
WECHAT_HOST: Final = "api.weixin.qq.com"

#: Days before a last day, such as `30,7`; at most 99.
_LEADS: Final = r"^([1-9][0-9]?(,[1-9][0-9]?)*)?$"
#: A WeChat template and what its keywords say, such as `templateid;title=thing1;day=date3`.
_MESSAGE: Final = r"^([A-Za-z0-9_-]{{1,64}}(;({})=[a-z_]+[0-9]{{1,2}})+)?$"


class UnsafeSettings(RuntimeError):
    """A production start with settings that must not reach production; the message names them, never their values."""


class Settings(BaseSettings):
    """Everything that differs between two installations."""

    model_config = SettingsConfigDict(env_prefix="CHENGXIN_", extra="ignore", hide_input_in_errors=True, frozen=True)

    environment: Literal["sandbox", "production"] = "production"
    city_zone: str = "Asia/Shanghai"

    database_url: str = Field(repr=False)
    worker_database_url: str = Field(default="", repr=False)
    migration_url: str = Field(default="", repr=False)
    redis_url: str | None = Field(default=None, repr=False)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=2, ge=1, le=64)
    worker_index: int = Field(default=0, ge=0, description="set by the supervisor: which lanes are this process's")
    proxies_count: int = Field(default=0, ge=0, le=4)
    request_max_bytes: int = Field(default=65536, ge=1024)
    upload_max_bytes: int = Field(default=32 * 2**20, ge=1024, le=2**30)
    drain_s: int = Field(default=15, ge=1, le=120)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    house_pool: int = Field(default=8, ge=1, le=64)

    token_keys: str = Field(repr=False)
    data_keys: str = Field(repr=False)
    index_key: str = Field(repr=False)
    credential_key: str = Field(repr=False)
    ticket_keys: str = Field(repr=False)
    job_key: str = Field(repr=False)

    wechat_appid: str = ""
    wechat_secret: str = Field(default="", repr=False)
    wechat_api_base: str = f"https://{WECHAT_HOST}"
    realname_base: str = ""
    realname_key: str = Field(default="", repr=False)

    access_ttl_s: int = Field(default=600, ge=60, le=3600)
    refresh_ttl_s: int = Field(default=30 * 86400, ge=3600)
    credential_ttl_s: int = Field(default=600, ge=60, le=3600)
    ticket_ttl_s: int = Field(default=300, ge=30, le=900)
    code_prefix: str = Field(default="81", pattern=r"^[0-9]{2}$")

    lanes: int = Field(default=1, ge=1, le=16)
    lane_queue: int = Field(default=2048, ge=1)
    lane_batch: int = Field(default=128, ge=1, le=1024)
    lane_latency_ms: int = Field(default=25, ge=1, le=1000)
    budget_slots: int = Field(default=8, ge=1, le=64)

    expiry_per_second: int = Field(default=1000, ge=50, le=1_000_000)
    expiry_share: int = Field(default=50, ge=10, le=100)
    notice_points_days: str = Field(default="30,7", pattern=_LEADS)
    notice_coupon_days: str = Field(default="7", pattern=_LEADS)
    notice_points_message: str = Field(default="", pattern=_MESSAGE.format("title|points|day|advice"))
    notice_coupon_message: str = Field(default="", pattern=_MESSAGE.format("title|name|day|advice"))
    notice_page: str = Field(default="", pattern=r"^[^/].*$|^$", max_length=255)
    notice_from_hour: int = Field(default=9, ge=0, le=23)
    notice_until_hour: int = Field(default=20, ge=1, le=24)
    notice_per_second: int = Field(default=50, ge=1, le=1000)

    small_cell: int = Field(default=10, ge=10, le=1000, description="sizes below it are told to nobody")
    segment_keep_days: int = Field(default=180, ge=1, le=3660)

    budget_alert_percent: str = Field(default="50,80,95", pattern=_LEADS)
    facts_per_second: int = Field(default=200, ge=1, le=100_000, description="told by jobs, beside what happens")
    fact_keep_months: int = Field(default=36, ge=13, le=120, description="older ones that nothing looks at are deleted")
    exhausted_ends_after_h: int = Field(default=24, ge=1, le=8760)

    login_per_minute: int = Field(default=30, ge=1)
    resident_per_minute: int = Field(default=120, ge=1)
    counter_per_minute: int = Field(default=600, ge=1)
    admin_per_minute: int = Field(default=240, ge=1)
    recipient_list_days: int = Field(default=90, ge=1, le=3650)
    voucher_wrong_per_minute: int = Field(default=5, ge=1)
    voucher_wrong_per_minute_address: int = Field(default=60, ge=1)
    address_per_minute: int = Field(default=6000, ge=1)
    claim_device_per_minute: int = Field(default=20, ge=1)
    claim_address_per_minute: int = Field(default=1200, ge=1)

    @field_validator("token_keys")
    @classmethod
    def _token_keys_are_long(cls, text: str) -> str:
        _parse_token_keys(text)
        return text

    @field_validator("data_keys", "ticket_keys")
    @classmethod
    def _keyrings_parse(cls, text: str) -> str:
        Keyring.parse(text)
        return text

    @field_validator("index_key", "credential_key", "job_key")
    @classmethod
    def _keys_are_long(cls, text: str) -> str:
        secret_bytes(text)
        return text

    @property
    def signing_keys(self) -> dict[str, bytes]:
        """Token keys by kid; the first signs, every one verifies."""
        return _parse_token_keys(self.token_keys)

    def check_production(self) -> None:
        """Refuse a production start with sandbox secrets, missing keys or a stand-in. Raises UnsafeSettings."""
        if self.environment != "production":
            return
        wrong = [name for name in _SECRETS if _is_sandbox(getattr(self, name))]
        wrong += [name for name in _NEEDED if not getattr(self, name)]
        if urlsplit(self.wechat_api_base).hostname != WECHAT_HOST or not self.wechat_api_base.startswith("https://"):
            wrong.append("wechat_api_base")
        if not self.realname_base.startswith("https://") or _is_loopback(self.realname_base):
            wrong.append("realname_base")
        secrets = [getattr(self, name) for name in ("index_key", "credential_key", "job_key")]
        if len(set(secrets)) != len(secrets):
            wrong.append("index_key, credential_key and job_key must differ")
        if wrong:
            raise UnsafeSettings("not fit for production: " + ", ".join(sorted(set(wrong))))


_SECRETS: Final = (
    "token_keys", "data_keys", "index_key", "credential_key", "ticket_keys", "job_key", "wechat_appid", "wechat_secret",
    "realname_key",
)  # fmt: skip
_NEEDED: Final = (
    "database_url", "worker_database_url", "wechat_appid", "wechat_secret", "realname_base", "realname_key",
)  # fmt: skip


def secret_bytes(text: str) -> bytes:
    """The bytes of a secret written as base64 (or plain text when it is not), at least 32. Raises ValueError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) < MIN_SECRET_BYTES:
        raw = text.encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise ValueError("a secret has at least 32 bytes")
    return raw


def _parse_token_keys(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kid, separator, secret = part.partition(":")
        if not separator or not kid or kid in keys:
            raise ValueError("token keys are written kid:secret, separated by commas, each kid once")
        keys[kid] = secret_bytes(secret)
    if not keys:
        raise ValueError("at least one token key is needed")
    return keys


def _is_sandbox(value: str) -> bool:
    """Whether a secret carries the sandbox's mark, in the clear or inside its base64."""
    if SANDBOX_MARK in value.lower():
        return True
    for part in value.split(","):
        try:
            if SANDBOX_MARK.encode() in base64.b64decode(part.rpartition(":")[2], validate=True).lower():
                return True
        except (ValueError, binascii.Error):
            continue
    return False


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
