"""What the people room refuses, and in which words."""

from __future__ import annotations

from server.kit.errors import AppError


class SessionRevoked(AppError):
    code, status, message = "session_revoked", 401, "登录已失效，请重新登录"


class RefreshTokenInvalid(AppError):
    code, status, message = "refresh_token_invalid", 401, "登录凭据无效，请重新登录"


class RefreshTokenReused(AppError):
    code, status, message = "refresh_token_reused", 401, "登录凭据被重复使用，为保障安全请重新登录"


class NameInvalid(AppError):
    code, status, message = "name_invalid", 400, "姓名格式不正确，请按身份证填写"


class IdNumberInvalid(AppError):
    code, status, message = "id_number_invalid", 400, "身份证号码不正确，请核对后重新填写"


class MinorRefused(AppError):
    code, status, message = "minor_refused", 403, "本服务仅面向年满十八周岁的居民，暂不能为您办理"


class RealNameMismatch(AppError):
    code, status, message = "real_name_mismatch", 422, "姓名与身份证号码不一致，请核对后重试"


class RealNameLocked(AppError):
    code, status, message = "real_name_locked", 429, "实名认证失败次数过多，请稍后再试"


class IdentityAlreadyBound(AppError):
    code, status, message = "identity_already_bound", 409, "该微信账号已完成实名认证，不能改绑他人"


class AdminLoginRefused(AppError):
    code, status, message = "admin_login_refused", 401, "用户名、密码或动态验证码不正确"


class AdminLoginLocked(AppError):
    code, status, message = "admin_login_locked", 429, "登录失败次数过多，请稍后再试"


class UsernameTaken(AppError):
    code, status, message = "username_taken", 409, "该用户名已被使用"


class PasswordTooWeak(AppError):
    code, status, message = "password_too_weak", 400, "密码至少需要十二个字符，且不能包含用户名"


class RoleUnknown(AppError):
    code, status, message = "role_unknown", 400, "角色不存在"


class ResidentNotFound(AppError):
    code, status, message = "resident_not_found", 404, "未找到该居民"


class BandScaleFixed(AppError):
    """A version of the bands is what decisions were made by: it never changes, and a later one begins later."""

    code, status, message = "band_scale_fixed", 409, "信用等级的既有版本不可修改，新版本的生效日须晚于所有既有版本"


class NoBandScale(AppError):
    code, status, message = "no_band_scale", 409, "所述日期没有生效的信用等级，请先设置等级"


class AsOfInFuture(AppError):
    code, status, message = "as_of_in_future", 400, "数据日期不能晚于今天"


class AsOfTooOld(AppError):
    """Later values were told already; what was decided by them is not rewritten."""

    code, status, message = "as_of_too_old", 409, "数据日期早于已导入的数据，既往数据不可改写"
