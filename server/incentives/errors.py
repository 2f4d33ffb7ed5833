"""Refusals of the incentives room."""

from __future__ import annotations

from server.incentives.words import status_text
from server.kit.errors import AppError


class CampaignNotFound(AppError):
    code, status, message = "campaign_not_found", 404, "未找到该活动"


class TemplateNotFound(AppError):
    code, status, message = "template_not_found", 404, "未找到该优惠券模板"


class BudgetNotFound(AppError):
    code, status, message = "budget_not_found", 404, "未找到该预算"


class TopUpNotFound(AppError):
    code, status, message = "top_up_not_found", 404, "未找到该预算调整申请"


class SecondPersonRequired(AppError):
    """D35: what costs money is approved by somebody else than its last editor."""

    code, status, message = "second_person_required", 403, "须由编辑人以外的另一位管理员审批"


class AlreadyLive(AppError):
    """An approved rule never changes; a change is a new version."""

    code, status, message = "already_live", 409, "已批准的规则不可修改，如需变更请新建版本"


class VersionNotFound(AppError):
    code, status, message = "version_not_found", 404, "未找到该版本"


class DraftOpen(AppError):
    """One version is worked on at a time."""

    code, status, message = "draft_open", 409, "已有一个未完成的版本，请先处理该版本"


class BudgetFixed(AppError):
    """Only a top-up changes what was approved once."""

    code, status, message = "budget_fixed", 409, "预算已随首个版本批准，只能通过追加预算调整"


class LimitNotCounted(AppError):
    """A limit that nothing counts would be a promise that nobody keeps."""

    code, status = "limit_not_counted", 422
    message = "此项限量无法计数：商户和门店仅限核销；不发放积分的活动仅按个人限量；计量单位须与动作相符"


class LimitNeverGives(AppError):
    """A limit into which not even one fits would turn everybody away for ever. `one`: what a single one counts as."""

    code, status, message = "limit_never_gives", 422, "此项限量的上限小于单次数量，每一次都会被拒绝"

    def __init__(self, cap: int, one: int, *, field: str) -> None:
        super().__init__(field=field)
        self.message = f"此项限量的上限{cap}小于单次数量{one}，每一次都会被拒绝"


class WrongStatus(AppError):
    """Says what stands and what is `needed`; `hint`: what to do first, where that is not plain."""

    code, status, message = "wrong_status", 409, "当前状态不能进行此操作"

    def __init__(self, stands: str, *needed: str, hint: str = "") -> None:
        super().__init__()
        self.message = "，".join(
            [
                f"当前状态为{status_text(stands)}",
                f"此操作须为{status_text(*needed)}" if needed else "不能进行此操作",
                *([hint] if hint else []),
            ]
        )


class RevisionChanged(AppError):
    """What was reviewed is not what is there now."""

    code, status, message = "revision_changed", 409, "内容已被他人修改，请刷新后重新审阅"


class StillSettling(AppError):
    """An earlier change of status has not reached the vault yet; the worker finishes it within seconds."""

    code, status, message = "still_settling", 409, "上一次操作正在生效，请稍后再试"


class AlreadyOver(AppError):
    code, status, message = "already_over", 409, "结束时间已过，请先调整活动时间"


class PlaceUnknown(AppError):
    """A coupon that could be used nowhere would be a promise that nobody keeps."""

    code, status, message = "place_unknown", 400, "所选的商户或门店不存在，或门店不属于所选商户"


class WaitingRoom(AppError):
    """More people claim than there is room for. Nothing was done; `Retry-After` differs from one to the next."""

    code, status, message = "waiting_room", 503, "排队人数较多，请稍候再试，无需反复点击"


class ClaimedByLottery(AppError):
    """Of these coupons winners are drawn; being fast is no way to one."""

    code, status, message = "claimed_by_lottery", 409, "该优惠券通过抽签发放，请在抽签报名期间报名"


class GivenOnly(AppError):
    """Of these coupons nobody claims one: they are given, for a voucher code, by a job or as a prize."""

    code, status, message = "given_only", 409, "该优惠券定向发放，不开放领取"


class CouponNotFound(AppError):
    code, status, message = "coupon_not_found", 404, "未找到该优惠券"


class ExportTooLarge(AppError):
    """What is asked for has more rows than one file may have."""

    code, status, message = "export_too_large", 422, "符合条件的记录过多，请缩小范围后再导出"


class AlertNotFound(AppError):
    code, status, message = "budget_alert_not_found", 404, "未找到该预算提醒"
