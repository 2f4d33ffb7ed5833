"""Refusals of the ledger office."""

from __future__ import annotations

from server.kit.errors import AppError


class AdjustmentNotFound(AppError):
    code, status, message = "adjustment_not_found", 404, "未找到该积分更正申请"


class AdjustmentDecided(AppError):
    """Somebody has approved or rejected it already."""

    code, status, message = "adjustment_decided", 409, "该积分更正申请已有审批结果"
