"""Errors that people and programs can act on.

Every refusal of the house is an `AppError`: a `code` for programs, a Chinese `message` for people, an HTTP `status`.
Rooms define their own in `errors.py`; `server.web.errors` turns them into the envelope. A test walks `AppError.all()`.
"""

from __future__ import annotations

from typing import ClassVar


class AppError(Exception):
    """A refusal with a stable code. `field` names the offending input; `retry_after_s` becomes the Retry-After
    header. An error that knows more than its class may say so in a `message` of its own."""

    code: ClassVar[str]
    status: ClassVar[int]
    message: str

    _known: ClassVar[dict[str, type[AppError]]] = {}

    def __init__(self, *, field: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(self.code if hasattr(self, "code") else type(self).__name__)
        self.field = field
        self.retry_after_s = retry_after_s

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            other = AppError._known.get(cls.code)
            if other is not None and other.__qualname__ != cls.__qualname__:
                raise TypeError(f"error code {cls.code!r} is used by {other.__qualname__} and {cls.__qualname__}")
            AppError._known[cls.code] = cls

    @classmethod
    def all(cls) -> dict[str, type[AppError]]:
        """Every error code of the house that has been imported, by code."""
        return dict(AppError._known)


class NotFound(AppError):
    code, status, message = "not_found", 404, "未找到该内容"


class Forbidden(AppError):
    code, status, message = "forbidden", 403, "您没有权限进行此操作"


class InvalidField(AppError):
    """`reason`: what is wrong with it, in Chinese, where the field alone does not say so."""

    code, status, message = "invalid_field", 400, "提交的内容有误，请检查后重试"

    def __init__(self, *, field: str | None = None, reason: str = "") -> None:
        super().__init__(field=field)
        if field:
            self.message = f"字段“{field}”{f'有误：{reason}' if reason else '有误，请检查后重试'}"


class TemporarilyUnavailable(AppError):
    code, status, message = "temporarily_unavailable", 503, "系统繁忙，请稍后再试"


class RateLimited(AppError):
    code, status, message = "rate_limited", 429, "操作过于频繁，请稍后再试"
