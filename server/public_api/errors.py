"""Refusals of the public routes."""

from __future__ import annotations

from server.kit.errors import AppError


class HeadNotFound(AppError):
    code, status, message = "head_not_found", 404, "这一天的账本摘要尚未公布"
