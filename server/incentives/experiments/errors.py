"""Refusals of hold-outs and their report."""

from __future__ import annotations

from server.kit.errors import AppError


class HoldOutNotAllowed(AppError):
    """Nobody's right is drawn by lot."""

    code, status = "hold_out_not_allowed", 422
    message = "由管理员授予、按名单发放或用于补偿的活动，居民应当得到，不得设置对照组"


class NoHoldOut(AppError):
    """There is nothing to compare."""

    code, status, message = "no_hold_out", 409, "该版本未设置对照组"
