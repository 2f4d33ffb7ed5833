"""What WeChat's answers mean to a person, and which of its numbers mean it."""

from __future__ import annotations

from typing import Final

from server.kit.errors import AppError

BUSY: Final = -1
TOKEN_BAD: Final = frozenset({40001, 40014, 42001})
QUOTA_OUT: Final = frozenset({45009, 45011})
#: The person has not asked for (any more of) these messages, or takes none.
NOT_SUBSCRIBED: Final = 43101


class LoginCodeRejected(AppError):
    code, status, message = "login_code_rejected", 400, "微信登录凭证无效或已过期，请重新登录"


class LoginCodeUsed(AppError):
    code, status, message = "login_code_used", 400, "微信登录凭证已被使用，请重新登录"


class PhoneCodeRejected(AppError):
    code, status, message = "phone_code_rejected", 400, "手机号授权已失效，请重新授权"


class WeChatUserBlocked(AppError):
    code, status, message = "wechat_user_blocked", 403, "微信判定该账号存在风险，暂时无法登录"


class WeChatBusy(AppError):
    """WeChat is busy or our quota of this minute is used up; the code may be tried again only with a fresh one."""

    code, status, message = "wechat_busy", 503, "微信服务繁忙，请稍后重新登录"


class WeChatUnreachable(AppError):
    """No answer, or none that can be read: whether a one-use code was used up is unknown."""

    code, status, message = "wechat_unreachable", 503, "微信服务暂时无法访问，请稍后重新登录"


class WeChatMisconfigured(AppError):
    """Our appid, secret or address list is refused: nothing a person can mend."""

    code, status, message = "wechat_misconfigured", 503, "微信服务配置有误，我们正在处理"


class Errcode(Exception):
    """A number WeChat answered that is not 0. Stays inside this package."""

    def __init__(self, errcode: int, rid: str) -> None:
        super().__init__(f"errcode {errcode} rid {rid}")
        self.errcode = errcode
        self.rid = rid


_LOGIN: Final[dict[int, type[AppError]]] = {
    40029: LoginCodeRejected,
    40163: LoginCodeUsed,
    41008: LoginCodeRejected,
    40226: WeChatUserBlocked,
}
_PHONE: Final[dict[int, type[AppError]]] = {
    40029: PhoneCodeRejected,
    40163: PhoneCodeRejected,
    43104: PhoneCodeRejected,
}


def meaning(refused: Errcode, *, phone: bool) -> AppError:
    """The error a person sees for an errcode."""
    if refused.errcode == BUSY or refused.errcode in QUOTA_OUT:
        return WeChatBusy(retry_after_s=1)
    known = (_PHONE if phone else _LOGIN).get(refused.errcode)
    return known(field="code") if known is not None else WeChatMisconfigured()
