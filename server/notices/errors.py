"""What the notices room refuses."""

from __future__ import annotations

from server.kit.errors import AppError


class NoticeNotFound(AppError):
    code, status, message = "notice_not_found", 404, "未找到该通知"


class MessageTemplateUnknown(AppError):
    code, status, message = "message_template_unknown", 422, "该订阅消息模板不存在或已停用，请刷新后重试"
