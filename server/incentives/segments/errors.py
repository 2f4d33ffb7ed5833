"""Refusals of segments."""

from __future__ import annotations

from server.kit.errors import AppError


class SegmentNotFound(AppError):
    code, status, message = "segment_not_found", 404, "未找到该人群"


class SnapshotNotFound(AppError):
    """There never was one, it is not complete yet, or its members are deleted by now."""

    code, status, message = "snapshot_not_found", 404, "未找到该人群名单，或名单已过保存期限"


class SegmentNameTaken(AppError):
    code, status, message = "segment_name_taken", 409, "已有同名人群"


class SegmentRefused(AppError):
    """A segment that may not be, or cannot be said: the reason is part of the message."""

    code, status, message = "segment_refused", 422, "该人群不可保存"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field=field)
        self.reason = reason
        self.message = f"该人群不可保存：{reason}"
