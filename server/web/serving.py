"""From a route table to handlers: admit, limit, decode, call, encode, count; and the envelope for whatever goes wrong.

One plain function per route does all of it, with decoders made beforehand and no middleware, because redemption and
verification pass here thousands of times a second.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any, Final

import msgspec
import structlog
from sanic import Request
from sanic.exceptions import RequestCancelled
from sanic.handlers import ErrorHandler
from sanic.response import HTTPResponse

from server.config import Settings
from server.kit.caller import ANONYMOUS, Caller
from server.kit.errors import InvalidField
from server.kit.logging import AccessLog
from server.web import metrics
from server.web.auth import Gate, TokenReader
from server.web.completion import CompletionSet
from server.web.errors import JSON, InternalError, envelope, known
from server.web.health import Readiness
from server.web.idempotency import HEADER as IDEMPOTENCY_HEADER
from server.web.idempotency import read_key
from server.web.request_id import HEADER as REQUEST_ID_HEADER
from server.web.request_id import client_request_id, new_request_id
from server.web.routing import Call, Limit, Reply, Route
from server.web.schema import body_decoder, query_decoder, refuse_query
from server.web.uploads import read_file

DEVICE_HEADER: Final = "x-device-id"
DEVICE_MAX: Final = 64
UNMATCHED: Final = "(unmatched)"
ID_MAX: Final = 2**63 - 1
HUNG_UP: Final = 499  # the client went away; nobody reads this
_log = structlog.get_logger("server.web")
_encode = msgspec.json.Encoder().encode
_DEFAULT_LIMITS: Final = {
    "anonymous": Limit("address", by="ip", setting="address_per_minute"),
    "identity": Limit("resident", setting="resident_per_minute"),
    "resident": Limit("resident", setting="resident_per_minute"),
    "staff": Limit("counter", setting="counter_per_minute"),
    "counter": Limit("counter", setting="counter_per_minute"),
    "admin": Limit("admin", setting="admin_per_minute"),
}


class Office:
    """What handlers of one process share once its services are open."""

    def __init__(self, settings: Settings, services: Any) -> None:
        self.settings = settings
        self.services = services
        self.gate = Gate(TokenReader(settings.signing_keys, services.clock), services)
        self.limiter = services.counts
        self.completion = CompletionSet()
        self.readiness = Readiness(services.cache)
        self.access = AccessLog(enabled=settings.log_level in ("debug", "info"))


def handler_of(route: Route, settings: Settings) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    """The function Sanic calls for one route."""
    prepare = _preparer(route, settings)
    act: Callable[..., Coroutine[Any, Any, Any]] = route.handler  # type: ignore[assignment]
    method, template, proxied = route.method, route.path, settings.proxies_count > 0
    is_change = method != "GET"

    async def handle(request: Request, **params: Any) -> HTTPResponse | None:
        started = perf_counter()
        office: Office = request.app.ctx.office
        request_id = new_request_id()
        address = (request.remote_addr or request.ip) if proxied else request.ip
        call = Call(office.services, ANONYMOUS, request_id, address, request=request)
        code: str | None = None
        try:
            arguments = await prepare(office, request, call)
            for name, value in params.items():
                if isinstance(value, int) and abs(value) > ID_MAX:
                    raise InvalidField(field=name)
            if is_change:
                reply = await office.completion.run(act(call, *arguments, **params))
            else:
                reply = await act(call, *arguments, **params)
            response = _response(reply, request_id)
        except CancelledError:
            raise
        except Exception as error:
            response, code = _refusal(error, request_id, template)
        took = perf_counter() - started
        status = response.status if response is not None else 200
        metrics.observe(method, template, status, took)
        office.access.write(
            method,
            template,
            status,
            int(took * 1e6),
            request_id,
            call.caller.kind,
            client_request_id(request.headers.get(REQUEST_ID_HEADER)),
            code,
        )
        return response

    handle.__name__ = f"{act.__module__}.{act.__qualname__}".replace(".", "_")
    return handle


def _preparer(route: Route, settings: Settings) -> Callable[[Office, Request, Call], Awaitable[tuple[Any, ...]]]:
    """Everything before the handler, in this order: who, how often, what."""
    limits = [
        (limit.name, limit.by, int(getattr(settings, limit.setting)) if limit.setting else limit.per_minute)
        for limit in route.limits or (_DEFAULT_LIMITS[route.caller.name],)
    ]
    read_body = body_decoder(route.body) if route.body is not None else None
    read_query = query_decoder(route.query) if route.query is not None else None
    no_query = route.refuses_arguments
    rule, idempotent, upload, most_bytes = route.caller, route.idempotent, route.upload, settings.upload_max_bytes

    async def prepare(office: Office, request: Request, call: Call) -> tuple[Any, ...]:
        headers = request.headers
        call.caller = await office.gate.admit(rule, headers)
        call.device = headers.get(DEVICE_HEADER, "")[:DEVICE_MAX]
        for name, by, per_minute in limits:
            for subject in _subjects(by, call):
                office.limiter.hit(name, subject, per_minute)
        if no_query and request.query_string:
            refuse_query(request.args)
        call.user_agent = headers.get("user-agent", "")[:200]
        if idempotent:
            call.idempotency_key = read_key(headers.get(IDEMPOTENCY_HEADER))
        arguments: tuple[Any, ...] = ()
        if read_body is not None:
            arguments = (read_body(request.body),)
        if upload:  # read here: who hangs up in the middle of a file has not asked for anything yet
            arguments = (await read_file(request, most_bytes),)
        if read_query is not None:
            arguments = (*arguments, read_query(request.args))
        return arguments

    return prepare


def _subjects(by: str, call: Call) -> tuple[str, ...]:
    """Under which names a call counts. A device names itself, so its session counts as well: who calls himself another
    device each time comes no further, and sessions that share a device share its ceiling."""
    if by != "device" or not call.device:
        return (_subject(by, call),)
    device = f"device:{call.device}"
    return (call.caller.session_id, device) if call.caller.session_id else (device,)


def _subject(by: str, call: Call) -> str:
    caller: Caller = call.caller
    if by == "ip":
        return call.remote_ip
    if by == "resident" and caller.resident_id is not None:
        return str(caller.resident_id)
    if by == "merchant" and caller.merchant_id is not None:
        return str(caller.merchant_id)
    return caller.session_id or call.remote_ip


def _response(reply: Reply | None, request_id: str) -> HTTPResponse | None:
    """The answer of a handler; None when it has streamed its own."""
    if reply is None:
        return None
    if reply.raw is not None:
        body: bytes | None = reply.raw
    else:
        body = None if reply.body is None else _encode(reply.body)
    headers = dict(reply.headers) if reply.headers else {}
    response = HTTPResponse(body, reply.status, headers, reply.content_type if body is not None else None)
    response.headers[REQUEST_ID_HEADER] = request_id
    return response


def _refusal(error: Exception, request_id: str, route: str) -> tuple[HTTPResponse, str]:
    refused = known(error)
    if refused is None:
        _log.error("fault", request_id=request_id, route=route, exc_info=error)
        refused = InternalError()
    status, body, headers = envelope(refused, request_id)
    response = HTTPResponse(body, status, headers, JSON)
    response.headers[REQUEST_ID_HEADER] = request_id
    return response, refused.code


class Envelopes(ErrorHandler):
    """What never reached a route (no such path, wrong method, body too large) leaves in the same envelope."""

    def default(self, request: Request | None, exception: Exception) -> HTTPResponse:
        """The envelope of any exception Sanic met."""
        request_id = new_request_id()
        if isinstance(exception, RequestCancelled):
            return HTTPResponse(b"", HUNG_UP)
        response, code = _refusal(exception, request_id, UNMATCHED)
        for name, value in getattr(exception, "headers", {}).items():
            if name.lower() == "allow":
                response.headers["Allow"] = value
        method = request.method if request is not None and request.method in _METHODS else "OTHER"
        metrics.observe(method, UNMATCHED, response.status, 0.0)
        office: Office | None = getattr(request.app.ctx, "office", None) if request is not None else None
        if office is not None:
            office.access.write(method, UNMATCHED, response.status, 0, request_id, "anonymous", None, code)
        return response


_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
