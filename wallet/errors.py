"""What the vault refuses, as exceptions that carry their own code, HTTP status and Chinese message.

The vault stands alone (it knows nothing of the house's errors); `server.web.errors` maps this base class.
"""

from __future__ import annotations

from typing import Final

from wallet.items import PlaceLimit
from wallet.statuses import STATUSES, Status

_PLACES: Final = {"campaign": "本活动", "merchant": "本商户", "store": "本门店"}
_PERIODS: Final = {"total": "", "day": "今日", "week": "本周", "month": "本月"}
_MEASURES: Final = {"count": "名额", "points": "积分额度", "face_value_fen": "优惠金额", "fen": "补贴金额"}


def reached(limit: PlaceLimit) -> str:
    """What somebody is told who meets the limit of a place: which place, which period, and what is used up."""
    _, scope, measure, period = limit.limit_id.rsplit("/", 3)
    place = _PLACES.get(scope) or limit.place or "所在镇街"
    return f"{place}{_PERIODS[period]}的{_MEASURES[measure]}已用完"


class VaultError(Exception):
    """Base of everything the vault raises. `replayed` tells that a stored refusal was answered again."""

    code: str
    status: int
    message: str
    retry_after_s: int | None = None
    field: str | None = None
    replayed: bool = False


class Refused(VaultError):
    """The vault's answer was a status other than done; see `wallet.statuses`. `limit`: which limit of a place was
    reached, when it was one; the message says so."""

    def __init__(self, answer: Status, *, replayed: bool = False, limit: PlaceLimit | None = None) -> None:
        super().__init__(answer.code)
        self.answer = answer
        self.code, self.status, self.message = answer.code, answer.http, answer.message
        self.replayed, self.limit = replayed, limit
        if limit is not None:
            self.message = reached(limit)
        if answer.http == 503:
            self.retry_after_s = 1

    @classmethod
    def of(cls, number: int, *, replayed: bool = False, limit: PlaceLimit | None = None) -> Refused:
        """The refusal for a status number as the vault returned it."""
        return cls(STATUSES[number], replayed=replayed, limit=limit)


class _Fixed(VaultError):
    """A refusal that is the same every time; its class says all of it."""

    def __init__(self) -> None:
        super().__init__(self.code)


class QueueFull(_Fixed):
    """More postings are waiting than the setting allows; nothing was sent. `each_s`: how long one of them takes now."""

    each_s: float = 0.0
    code, status, message, retry_after_s = "queue_full", 503, "当前使用人数较多，请稍后再试", 1


class InFlight(_Fixed):
    """A lock or a statement took too long; the same request may be sent again and loses nothing."""

    code, status, message, retry_after_s = "in_flight", 409, "上一次请求仍在处理，请稍后重试", 1


class VaultUnavailable(_Fixed):
    """The database cannot be reached now; the same request may be sent again and loses nothing."""

    code, status, message, retry_after_s = "vault_unavailable", 503, "系统暂时不可用，请稍后重试", 2


class TermsConflict(_Fixed):
    """Terms are immutable: the same id was put with other content."""

    code, status, message = "terms_conflict", 409, "已生效的规则不可更改"


class BudgetRefused(_Fixed):
    """A budget entry was refused: unknown budget, the same id with other content, one person for both roles, or a cut
    larger than what is left."""

    code, status, message = "budget_entry_refused", 409, "预算调整未被接受"


FIXED_ERRORS: tuple[type[_Fixed], ...] = (QueueFull, InFlight, VaultUnavailable, TermsConflict, BudgetRefused)
