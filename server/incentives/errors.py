"""Refusals of the incentives room."""

from __future__ import annotations

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
    """An activated rule never changes; a change is a new version."""

    code, status, message = "already_live", 409, "已生效的规则不可修改，请暂停或结束后另建新版本"


class WrongStatus(AppError):
    code, status, message = "wrong_status", 409, "当前状态不能进行此操作"


class RevisionChanged(AppError):
    """What was reviewed is not what is there now."""

    code, status, message = "revision_changed", 409, "内容已被他人修改，请刷新后重新审阅"


class StillSettling(AppError):
    """An earlier change of status has not reached the vault yet; the worker finishes it within seconds."""

    code, status, message = "still_settling", 409, "上一次操作正在生效，请稍后再试"


class AlreadyOver(AppError):
    code, status, message = "already_over", 409, "结束时间已过，请先调整活动时间"


class CouponNotFound(AppError):
    code, status, message = "coupon_not_found", 404, "未找到该优惠券"
