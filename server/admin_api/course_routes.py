"""What the console does alike with campaigns and with templates: versions, review, and the steps of a life."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from server.admin_api.incentive_replies import difference_reply, signed
from server.admin_api.schemas.incentives import (
    CopyQuery,
    DifferenceQuery,
    DifferenceReply,
    RejectRequest,
    RevisionQuery,
    WriteQuery,
)
from server.incentives.course import Course
from server.incentives.errors import (
    AlreadyOver,
    RevisionChanged,
    SecondPersonRequired,
    StillSettling,
    VersionNotFound,
    WrongStatus,
)
from server.kit.errors import AppError
from server.web.routing import Call, Callers, Reply, Router
from wallet import BudgetRefused, TermsConflict

Step = Literal["submit", "withdraw", "discard", "pause", "resume", "end", "archive"]

_EDITORS: dict[Step, tuple[str, str]] = {
    "submit": ("提交审核", "From draft to review."),
    "withdraw": ("撤回审核", "From review back to draft, to go on with it."),
    "discard": ("放弃草稿", "A draft that nobody wants leaves the lists; beside a live version only the draft goes."),
}
_APPROVERS: dict[Step, tuple[str, str]] = {
    "pause": ("暂停", "At once; what was given stays."),
    "resume": ("恢复", "After a pause."),
    "end": ("结束", "For good, before its time; what was given stays."),
    "archive": ("归档", "What has ended leaves the lists that people work with."),
}


@dataclass(frozen=True, slots=True)
class Desk:
    """One kind as the console meets it. `path` as /campaigns, `key` the name of its id in paths, `scope` as
    campaign; `unfit`: why what was fit to be reviewed may not be approved any more."""

    router: Router
    path: str
    key: str
    scope: str
    noun: str
    missing: type[AppError]
    reply_kind: Any
    versions_kind: Any
    service: Callable[[Call], Course[Any, Any]]
    reply: Callable[[Any], Any]
    version_reply: Callable[[Any, str], Any]
    unfit: tuple[type[AppError], ...] = ()

    @property
    def one(self) -> str:
        """The path of one of them."""
        return f"{self.path}/<{self.key}:int>"

    def answer(self, view: Any) -> Reply:
        """200 with the whole of it."""
        return Reply.ok(self.reply(view))


def add_course(desk: Desk) -> None:
    """Adds to a router what both kinds have in common."""
    for step, (summary, told) in _EDITORS.items():
        _add_step(desk, step, summary, told, "edit")
    for step, (summary, told) in _APPROVERS.items():
        _add_step(desk, step, summary, told, "activate")
    _add_review(desk)
    _add_versions(desk)


def _named(desk: Desk, name: str, act: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
    act.__module__, act.__qualname__ = f"server.admin_api.{desk.path[1:].replace('-', '_')}", name
    return act


def _add_step(desk: Desk, step: Step, summary: str, told: str, scope: str) -> None:
    async def move(call: Call, query: WriteQuery, **ids: int) -> Reply:
        act: Callable[..., Awaitable[Any]] = getattr(desk.service(call), step)
        return desk.answer(await act(ids[desk.key], signed(call, query.simulate)))

    desk.router.post(
        f"{desk.one}/{step}", summary=summary, description=told, query=WriteQuery,
        replies={200: desk.reply_kind}, caller=Callers.admin(f"{desk.scope}.{scope}"),
        errors=(desk.missing, WrongStatus, StillSettling, AlreadyOver, TermsConflict, BudgetRefused),
    )(_named(desk, step, move))  # fmt: skip


def _add_review(desk: Desk) -> None:
    async def approve(call: Call, query: RevisionQuery, **ids: int) -> Reply:
        service, by = desk.service(call), signed(call, query.simulate)
        return desk.answer(await service.approve(ids[desk.key], by, query.revision))

    async def reject(call: Call, body: RejectRequest, query: WriteQuery, **ids: int) -> Reply:
        service, by = desk.service(call), signed(call, query.simulate)
        return desk.answer(await service.reject(ids[desk.key], body.comment, by))

    caller = Callers.admin(f"{desk.scope}.activate")
    desk.router.post(
        f"{desk.one}/approve", summary="批准", query=RevisionQuery, replies={200: desk.reply_kind}, caller=caller,
        description="By somebody else than the last editor. `settling` means that the ledger follows within seconds.",
        errors=(
            desk.missing, WrongStatus, SecondPersonRequired, RevisionChanged, AlreadyOver, TermsConflict, BudgetRefused,
            *desk.unfit,
        ),
    )(_named(desk, "approve", approve))  # fmt: skip
    desk.router.post(
        f"{desk.one}/reject", summary="驳回", body=RejectRequest, query=WriteQuery, replies={200: desk.reply_kind},
        caller=caller, description="Back to its editor, with a comment.", errors=(desk.missing, WrongStatus),
    )(_named(desk, "reject", reject))  # fmt: skip


def _add_versions(desk: Desk) -> None:
    async def copy(call: Call, query: CopyQuery, **ids: int) -> Reply:
        view = await desk.service(call).copy(ids[desk.key], signed(call, query.simulate), query.version)
        return desk.answer(view) if query.simulate else Reply.created(desk.reply(view))

    async def versions(call: Call, **ids: int) -> Reply:
        found = await desk.service(call).versions(ids[desk.key])
        return Reply.ok(desk.versions_kind([desk.version_reply(*one) for one in found]))

    async def difference(call: Call, query: DifferenceQuery, **ids: int) -> Reply:
        found = await desk.service(call).difference(ids[desk.key], query.before, query.after)
        return Reply.ok(difference_reply(found))

    reads = Callers.admin(f"{desk.scope}.read")
    desk.router.post(
        f"{desk.one}/copy", summary=f"复制为新{desk.noun}草稿", query=CopyQuery,
        replies={200: desk.reply_kind, 201: desk.reply_kind}, caller=Callers.admin(f"{desk.scope}.edit"),
        description="A new draft that says the same; its title says that it is a copy. Simulated, the answer is 200.",
        errors=(desk.missing, VersionNotFound),
    )(_named(desk, "copy", copy))  # fmt: skip
    desk.router.get(
        f"{desk.one}/versions", summary="版本列表", replies={200: desk.versions_kind}, caller=reads,
        description="Every version, newest first.", errors=(desk.missing,),
    )(_named(desk, "versions", versions))  # fmt: skip
    desk.router.get(
        f"{desk.one}/diff", summary="版本对比", query=DifferenceQuery, replies={200: DifferenceReply}, caller=reads,
        description="Field by field, and the generated text of both.", errors=(desk.missing, VersionNotFound),
    )(_named(desk, "diff", difference))  # fmt: skip
