"""The OpenAPI 3.1 document, written from the route tables: what is not in a table is not served, and vice versa."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from server.kit.errors import AppError, Forbidden, InvalidField, RateLimited, TemporarilyUnavailable
from server.people.errors import SessionRevoked
from server.web import errors as web
from server.web.auth import TERMINAL_HEADER
from server.web.errors import ErrorReply, described
from server.web.idempotency import HEADER as IDEMPOTENCY_HEADER
from server.web.routing import Route
from wallet import InFlight, QueueFull, VaultUnavailable, statuses
from wallet.statuses import ANSWERS

#: The application posts no operation but its own, and no id but a UUIDv7 (D23).
NEVER_OVER_HTTP: Final = (statuses.NOT_PERMITTED,)
#: What an uploaded file may be.
UPLOADS: Final = ("text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
_REF: Final = "#/components/schemas/{name}"
PARAMETER: Final = re.compile(r"<(\w+)(?::(\w+))?>")
_PATH_TYPES: Final[dict[str, dict[str, Any]]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "format": "int64"},
    "str": {"type": "string"},
    "strorempty": {"type": "string"},
}
_SCHEMES: Final = {"resident": "resident", "merchant": "merchant", "terminal": "terminal", "admin": "admin"}
_SCHEME_TEXT: Final = {
    "resident": "居民会话：微信登录所得的访问令牌，10 分钟有效",
    "merchant": "店员会话：微信登录并选定门店所得的访问令牌",
    "terminal": "终端会话：登记终端所得的访问令牌",
    "admin": "管理后台会话：密码与动态验证码登录所得的访问令牌",
}


def document(routes: Sequence[Route], *, version: str = "1") -> dict[str, Any]:
    """The whole document for these routes."""
    kinds = _kinds(routes)
    # Read back as JSON: a default may be a tuple, which no validator takes for an array.
    written = msgspec.json.encode(msgspec.json.schema_components(kinds, ref_template=_REF))
    schemas, components = msgspec.json.decode(written)
    schema_of = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        path = PARAMETER.sub(r"{\1}", route.path)
        paths[path][route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "澄信 API",
            "version": version,
            "description": "城市个人信用积分服务。金额以分为单位，时间为 ISO 8601 UTC，编号为字符串。",
            "license": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": _SCHEME_TEXT[name]}
                for name in _SCHEMES.values()
            },
        },
    }


def errors_of(route: Route) -> dict[str, tuple[int, str]]:
    """Every error code a route may answer with: its own and those of what stands before it."""
    own: list[Any] = [web.InternalError, RateLimited, TemporarilyUnavailable, *route.errors]
    if route.caller.audiences:
        own += [web.TokenMissing, web.TokenInvalid, web.TokenExpired, SessionRevoked, Forbidden]
    if route.caller.bound:
        own.append(web.BindingRequired)
    if {"merchant", "terminal"} & set(route.caller.audiences):
        own += _counter_errors()
    if route.body is not None:
        own += [web.MalformedJson, web.UnknownField, InvalidField, web.BodyTooLarge]
    if route.upload:
        own += [InvalidField, web.BodyTooLarge]
    if route.query is not None:
        own += [web.UnknownField, InvalidField]
    elif route.refuses_arguments:
        own.append(web.UnknownField)
    if ":int>" in route.path:
        own.append(InvalidField)  # more digits than an id can have
    if any(kind in ("int", "uuid") for _, kind in PARAMETER.findall(route.path)):
        own.append(web.RouteNotFound)  # what is no id leads to no route
    if route.idempotent:
        own += [web.IdempotencyKeyRequired, web.IdempotencyKeyInvalid]
    if route.posts is not None:
        answers = sorted(ANSWERS[route.posts], key=lambda status: status.number)
        own += [one for one in (*answers, QueueFull) if one not in (*NEVER_OVER_HTTP, *route.never)]
    if route.posts is not None or route.tells_vault:
        own += [InFlight, VaultUnavailable]
    return {code: (status, message) for code, status, message in map(described, own)}


def _counter_errors() -> list[type[AppError]]:
    from server.merchants import errors as merchants

    return [
        merchants.StaffRevoked,
        merchants.TerminalRevoked,
        merchants.TerminalPending,
        merchants.TerminalElsewhere,
        merchants.StaffSessionRequired,
        merchants.NotStaffHere,
    ]


def _kinds(routes: Iterable[Route]) -> list[Any]:
    kinds: dict[int, Any] = {id(ErrorReply): ErrorReply}
    for route in routes:
        for kind in (route.body, route.query, *route.replies.values()):
            if kind is not None and kind is not bytes and kind is not str:
                kinds[id(kind)] = kind
    return list(kinds.values())


def _operation(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__}.{route.handler.__qualname__}".replace("miniprogram_api.", "mp."),
        "summary": route.summary,
        "description": route.description,
        "tags": [route.tag],
        "responses": _responses(route, schema_of),
    }
    parameters = _path_parameters(route) + _query_parameters(route, schema_of, components) + _header_parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(route.body)]}},
        }
    if route.upload:
        file = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(UPLOADS, file)}
    operation["security"] = [{_SCHEMES[audience]: []} for audience in route.caller.audiences]
    if route.caller.scope:
        operation["x-scope"] = route.caller.scope
    if route.caller.roles:
        operation["x-roles"] = sorted(route.caller.roles)
    return operation


def _responses(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in route.replies.items():
        response: dict[str, Any] = {"description": route.summary}
        if kind is bytes or kind is str:
            response["content"] = {route.content_type: {"schema": {"type": "string"}}}
        elif kind is not None:
            response["content"] = {"application/json": {"schema": schema_of[id(kind)]}}
        responses[str(status)] = response
    by_status: dict[int, dict[str, str]] = defaultdict(dict)
    for code, (status, message) in errors_of(route).items():
        by_status[status][code] = message
    for status, codes in sorted(by_status.items()):
        description = "；".join(f"`{code}` {message}" for code, message in sorted(codes.items()))
        content = {"application/json": {"schema": _refusal_schema(schema_of[id(ErrorReply)], sorted(codes))}}
        known = responses.get(str(status))
        if known is not None and "content" in known:
            known["description"] += "；" + description
            own = known["content"].setdefault("application/json", {"schema": {}})
            own["schema"] = {"anyOf": [own["schema"], content["application/json"]["schema"]]}
        else:
            responses[str(status)] = {"description": description, "content": content}
        if status in (429, 503):
            responses[str(status)]["headers"] = {
                "Retry-After": {"description": "多少秒后再试", "schema": {"type": "integer", "minimum": 1}}
            }
    return responses


def _refusal_schema(envelope: dict[str, Any], codes: list[str]) -> dict[str, Any]:
    narrowed = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    return {"allOf": [envelope, narrowed]}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_TYPES[kind or "str"]}
        for name, kind in PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = schema_of[id(route.query)]
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema.get("properties", {}).items()
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if route.idempotent:
        parameters.append(
            {
                "name": IDEMPOTENCY_HEADER,
                "in": "header",
                "required": True,
                "description": "UUIDv7，由客户端生成；同一请求重试时保持不变",
                "schema": {"type": "string", "format": "uuid"},
            }
        )
    if any(limit.by == "device" for limit in route.limits):
        parameters.append(
            {
                "name": "X-Device-Id",
                "in": "header",
                "required": False,
                "description": "客户端保存的随机设备标识；用于限制同一设备的请求频率（每个会话另行计数），不作身份用途",
                "schema": {"type": "string", "maxLength": 64},
            }
        )
    if "merchant" in route.caller.audiences:
        parameters.append(
            {
                "name": TERMINAL_HEADER,
                "in": "header",
                "required": False,
                "description": "已登记终端的访问令牌；店员在终端上操作时附上",
                "schema": {"type": "string"},
            }
        )
    return parameters
