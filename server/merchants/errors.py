"""Refusals of the merchants' room."""

from __future__ import annotations

from server.kit.errors import AppError


class MerchantNotFound(AppError):
    code, status, message = "merchant_not_found", 404, "未找到该商户"


class MerchantCategoryUnknown(AppError):
    code, status, message = "merchant_category_unknown", 400, "商户类别不在本市的类别名录中"


class StoreNotFound(AppError):
    code, status, message = "store_not_found", 404, "未找到该门店"


class StaffNotFound(AppError):
    code, status, message = "staff_not_found", 404, "未找到该店员"


class TerminalNotFound(AppError):
    code, status, message = "terminal_not_found", 404, "未找到该终端"


class MerchantSuspended(AppError):
    code, status, message = "merchant_suspended", 403, "商户已被暂停，暂不能办理业务"


class StoreClosed(AppError):
    code, status, message = "store_closed", 403, "门店已关闭，暂不能办理业务"


class StaffRevoked(AppError):
    code, status, message = "staff_revoked", 403, "您已不是该商户的店员"


class TerminalRevoked(AppError):
    code, status, message = "terminal_revoked", 403, "该终端已被停用"


class NotStaffHere(AppError):
    code, status, message = "not_staff_here", 403, "您不是该门店的店员"


class RoleTooLow(AppError):
    code, status, message = "role_too_low", 403, "您的岗位没有此项权限"


class StaffSessionRequired(AppError):
    code, status, message = "staff_session_required", 403, "请店员先登录再使用该终端"


class TerminalElsewhere(AppError):
    code, status, message = "terminal_elsewhere", 403, "该终端不属于当前门店"


class TerminalSecretRejected(AppError):
    code, status, message = "terminal_secret_rejected", 401, "终端凭据无效，请重新登记终端"


class InvitationRejected(AppError):
    code, status, message = "invitation_rejected", 409, "邀请码无效、已使用或已过期"


class EnrolmentRejected(AppError):
    code, status, message = "enrolment_rejected", 409, "登记码无效、已使用或已过期"


class AlreadyStaff(AppError):
    code, status, message = "already_staff", 409, "您已是该商户的店员"


class LastOwner(AppError):
    code, status, message = "last_owner", 409, "商户至少要保留一位负责人"


class MerchantExists(AppError):
    code, status, message = "merchant_exists", 409, "该统一社会信用代码已登记"


class StoreExists(AppError):
    code, status, message = "store_exists", 409, "该商户已有同名门店"


class InvitationStoreRequired(AppError):
    code, status, message = "invitation_store_required", 400, "邀请该岗位时必须指定门店"


class TerminalPending(AppError):
    code, status, message = "terminal_pending", 403, "该终端尚未完成登记"
