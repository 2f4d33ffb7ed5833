"""Refusals of dry runs."""

from __future__ import annotations

from server.kit.errors import AppError


class DryRunNotFound(AppError):
    code, status, message = "dry_run_not_found", 404, "未找到该试算"


class NothingToJudge(AppError):
    """Days of the calendar are told only when a live campaign waits for them."""

    code, status, message = "nothing_to_judge", 422, "按日期触发的活动没有往期事实，无法试算"
