"""Routes as tables: what a path takes, what it answers, who may call it and how often.

    router = Router(prefix="/api/mp/v1", tag="居民 · 会话")

    @router.post("/sessions", summary="登录", body=LoginRequest, replies={201: SessionReply}, caller=Callers.anonymous)
    async def log_in(call: Call, body: LoginRequest) -> Reply: ...

`server.web.serving` turns the table into Sanic handlers, `server.web.openapi` into the document; a route file knows
neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec

from server.kit.caller import ANONYMOUS, Caller
from server.kit.errors import AppError
from wallet import Op

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
ErrorLike = type[AppError] | type[Exception] | tuple[str, int, str] | Any


class Rule:
    """Who may call a route: token audiences, roles, one scope, and whether the real name must be bound."""

    __slots__ = ("audiences", "bound", "name", "roles", "scope")

    def __init__(
        self,
        name: str,
        audiences: tuple[str, ...] = (),
        *,
        bound: bool = False,
        roles: frozenset[str] = frozenset(),
        scope: str | None = None,
    ) -> None:
        self.name, self.audiences, self.bound, self.roles, self.scope = name, audiences, bound, roles, scope

    def __repr__(self) -> str:
        return f"Rule({self.name!r}, roles={sorted(self.roles)}, scope={self.scope!r})"


STAFF_ROLES: Final = frozenset({"owner", "manager", "cashier", "auditor"})
COUNTER_ROLES: Final = frozenset({"owner", "manager", "cashier"})


class Callers:
    """The ways a route can name its callers."""

    anonymous = Rule("anonymous")
    identity = Rule("identity", ("resident",))
    resident = Rule("resident", ("resident",), bound=True)
    counter = Rule("counter", ("merchant", "terminal"), roles=COUNTER_ROLES)

    @staticmethod
    def staff(*roles: str) -> Rule:
        """A staff session with one of these roles; with none named, any role."""
        unknown = set(roles) - STAFF_ROLES
        if unknown:
            raise ValueError(f"no such staff role: {sorted(unknown)}")
        return Rule("staff", ("merchant",), roles=frozenset(roles) or STAFF_ROLES)

    @staticmethod
    def admin(scope: str | None = None) -> Rule:
        """An administrator's session holding this scope; None for any administrator."""
        return Rule("admin", ("admin",), scope=scope)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `per_minute` calls, counted by the caller's session, person or merchant, by address, or by the device a
    client names in `X-Device-Id` and by its session as well (the session alone when it names none).

    `setting` names a setting that overrides the number. "caller" and "session" mean the same.
    """

    name: str
    per_minute: int = 60
    by: Literal["ip", "session", "caller", "resident", "merchant", "device"] = "session"
    setting: str | None = None


@dataclass(slots=True)
class Call:
    """One request as a handler sees it. `services` is the process's `server.services.Services`."""

    services: Any
    caller: Caller
    request_id: str
    remote_ip: str
    device: str = ""
    idempotency_key: UUID | None = None
    user_agent: str = ""
    request: Any = None  # the web framework's request, for streamed answers only

    @property
    def resident_id(self) -> int:
        """The bound resident; only on routes whose rule demands one."""
        assert self.caller.resident_id is not None
        return self.caller.resident_id


class Reply:
    """A status, a body to encode and extra headers. `raw` with `content_type` sends bytes as they are."""

    __slots__ = ("body", "content_type", "headers", "raw", "status")

    def __init__(
        self,
        status: int = 200,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        self.status, self.body, self.headers, self.raw, self.content_type = status, body, headers, raw, content_type

    @classmethod
    def ok(cls, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """200 with a body."""
        return cls(200, body, headers)

    @classmethod
    def created(cls, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """201 with a body."""
        return cls(201, body, headers)

    @classmethod
    def nothing(cls) -> Reply:
        """204."""
        return cls(204)

    @classmethod
    def file(cls, content: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Reply:
        """200 with bytes as they are, never stored by anyone on the way."""
        return cls(200, None, {"Cache-Control": "no-store", **(headers or {})}, raw=content, content_type=content_type)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a route table."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    summary: str
    tag: str
    replies: Mapping[int, Any]
    caller: Rule
    body: Any = None
    query: Any = None
    errors: tuple[ErrorLike, ...] = ()
    limits: tuple[Limit, ...] = ()
    idempotent: bool = False
    description: str = ""
    content_type: str = "application/json"
    upload: bool = False  # the body is a file, handed over as bytes
    posts: Op | None = None  # the operation of the vault that the handler posts
    never: tuple[ErrorLike, ...] = ()  # what this operation can be answered, and this route does not pass on
    tells_vault: bool = False  # the handler has the vault keep something beside postings, and answers when it has

    @property
    def refuses_arguments(self) -> bool:
        """Whether a query argument is refused because none is declared: one that is not understood must not be left
        out. Public reads let it pass, as the apps through which their links are handed on add their own."""
        return self.query is None and (self.method != "GET" or bool(self.caller.audiences))


@dataclass(slots=True)
class Router:
    """A list of routes with one prefix and one tag."""

    prefix: str = ""
    tag: str = ""
    routes: list[Route] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        *,
        summary: str,
        replies: Mapping[int, Any],
        caller: Rule,
        body: Any = None,
        query: Any = None,
        errors: tuple[ErrorLike, ...] = (),
        limit: Limit | tuple[Limit, ...] = (),
        idempotent: bool = False,
        description: str = "",
        content_type: str = "application/json",
        upload: bool = False,
        posts: Op | None = None,
        never: tuple[ErrorLike, ...] = (),
        tells_vault: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Add one route; the decorated function is returned as it was. A call must be within every limit. `errors` are
        the route's own; those of `posts`, the caller and the body are known."""
        limits = (limit,) if isinstance(limit, Limit) else limit
        if (
            isinstance(body, type)
            and issubclass(body, msgspec.Struct)
            and not body.__struct_config__.forbid_unknown_fields
        ):
            raise TypeError(f"{body.__name__} must be declared with forbid_unknown_fields=True")

        def register(handler: Handler) -> Handler:
            self.routes.append(
                Route(
                    method, self.prefix + path, handler, summary, self.tag, replies, caller, body, query, errors,
                    limits, idempotent, description or (handler.__doc__ or "").strip(), content_type,
                    upload, posts, never, tells_vault,
                )
            )  # fmt: skip
            return handler

        return register

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A read; cancelled when the client hangs up."""
        return self.add("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A change; runs to completion even when the client hangs up."""
        return self.add("POST", path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A replacement; runs to completion even when the client hangs up."""
        return self.add("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A removal; runs to completion even when the client hangs up."""
        return self.add("DELETE", path, **options)


__all__ = ["ANONYMOUS", "Call", "Caller", "Callers", "Limit", "Reply", "Route", "Router", "Rule"]
