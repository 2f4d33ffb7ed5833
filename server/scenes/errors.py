"""What the counter and the showing of codes refuse before the vault is asked."""

from __future__ import annotations

from server.kit.errors import AppError


class CodeMalformed(AppError):
    """Not 20 digits, another prefix, or a wrong check digit: read or typed wrongly."""

    code, status, message = "code_malformed", 400, "二维码内容不完整，请重新扫码"


class TicketInvalid(AppError):
    code, status, message = "ticket_invalid", 400, "核销凭据无效，请重新扫码"


class TooManyFailures(AppError):
    """Too many codes that were not valid from this session or merchant within a minute."""

    code, status, message = "too_many_failures", 429, "无效扫码次数过多，请稍后再试"


class CredentialNotFound(AppError):
    code, status, message = "credential_not_found", 404, "未找到该二维码"


class CredentialNotOpen(AppError):
    """The showing was used, burnt, or is over: there is nothing to draw."""

    code, status, message = "credential_not_open", 409, "该二维码已失效，请刷新"
