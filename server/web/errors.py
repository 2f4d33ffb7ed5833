"""What the web layer itself refuses, and the one envelope every refusal leaves in.

{"error": {"code": "sold_out", "message": "已经领完了", "request_id": "…", "field": "…"?}}
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import msgspec
from sanic.exceptions import SanicException
from tortoise.exceptions import DBConnectionError, OperationalError

from server.kit.db import LOST_CONNECTION, LOST_RACE, Conflict
from server.kit.errors import AppError, InvalidField, TemporarilyUnavailable
from wallet.errors import VaultError


class MalformedJson(AppError):
    code, status, message = "malformed_json", 400, "提交的内容不是有效的 JSON"


class UnknownField(AppError):
    code, status, message = "unknown_field", 400, "提交了无法识别的字段"

    def __init__(self, *, field: str | None = None) -> None:
        super().__init__(field=field)
        if field:
            self.message = f"提交了无法识别的字段“{field}”"


class BodyTooLarge(AppError):
    code, status, message = "body_too_large", 413, "提交的内容过大"


class MalformedRequest(AppError):
    code, status, message = "malformed_request", 400, "请求格式有误"


class RequestTimedOut(AppError):
    code, status, message = "request_timeout", 408, "请求超时，请重试"


class RouteNotFound(AppError):
    code, status, message = "route_not_found", 404, "请求的地址不存在"


class MethodNotAllowed(AppError):
    code, status, message = "method_not_allowed", 405, "该地址不支持此操作"


class TokenMissing(AppError):
    code, status, message = "token_missing", 401, "请先登录"


class TokenInvalid(AppError):
    code, status, message = "token_invalid", 401, "登录凭证无效，请重新登录"


class TokenExpired(AppError):
    code, status, message = "token_expired", 401, "登录已过期，请刷新登录"


class BindingRequired(AppError):
    code, status, message = "binding_required", 403, "请先完成实名认证"


class IdempotencyKeyRequired(AppError):
    code, status, message = "idempotency_key_required", 400, "缺少请求编号"


class IdempotencyKeyInvalid(AppError):
    code, status, message = "idempotency_key_invalid", 400, "请求编号格式有误"


class InternalError(AppError):
    code, status, message = "internal_error", 500, "系统出现问题，请稍后再试"


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal: `code` for programs, `message` for people, `field` names the offending input."""

    code: str
    message: str
    request_id: str
    field: str | None = None


class ErrorReply(msgspec.Struct, frozen=True):
    """The envelope of every refusal."""

    error: ErrorBody


JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode
_BY_HTTP: Final[dict[int, type[AppError]]] = {
    404: RouteNotFound,
    405: MethodNotAllowed,
    408: RequestTimedOut,
    413: BodyTooLarge,
    503: TemporarilyUnavailable,
}
# Whatever a database says about the value of an input that passed the types: too large a number, a NUL in a text.
_BAD_VALUE = (asyncpg.DataError, OverflowError)
# A full disk or no memory: nothing was written, and the same request may come again when somebody has made room.
_OUT_OF_ROOM = (asyncpg.InsufficientResourcesError,)
OUT_OF_ROOM_RETRY_S: Final = 10


def known(error: BaseException) -> AppError | VaultError | None:
    """The refusal an exception stands for, or None when it is a fault of the house."""
    if isinstance(error, AppError | VaultError):
        return error
    if isinstance(error, SanicException):
        return _BY_HTTP.get(error.status_code, MalformedRequest if error.status_code < 500 else InternalError)()
    if isinstance(error, LOST_RACE):
        return Conflict()
    cause = error.__cause__
    if isinstance(error, _BAD_VALUE) or (isinstance(error, OperationalError) and isinstance(cause, _BAD_VALUE)):
        return InvalidField()
    too_long = (error, cause if isinstance(error, OperationalError) else None)
    if any(isinstance(one, asyncpg.QueryCanceledError) for one in too_long):
        return TemporarilyUnavailable(retry_after_s=1)
    if isinstance(error, (DBConnectionError, *LOST_CONNECTION)):
        return TemporarilyUnavailable(retry_after_s=1)
    if any(isinstance(one, _OUT_OF_ROOM) for one in too_long):
        return TemporarilyUnavailable(retry_after_s=OUT_OF_ROOM_RETRY_S)
    return None


def envelope(error: AppError | VaultError, request_id: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a refusal."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if getattr(error, "replayed", False):
        headers["Idempotency-Replayed"] = "true"
    body = ErrorReply(ErrorBody(error.code, error.message, request_id, error.field))
    return error.status, _encode(body), headers


def described(error: Any) -> tuple[str, int, str]:
    """Code, status and message of anything a route may list as an error: a class, an instance or a row of a table."""
    if isinstance(error, tuple):
        code, status, message = error
        return code, status, message
    status = error.http if hasattr(error, "http") else error.status
    return error.code, status, error.message
