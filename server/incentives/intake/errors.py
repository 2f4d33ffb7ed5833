"""Refusals of the intake of facts."""

from __future__ import annotations

from server.kit.errors import AppError


class FactBatchNotFound(AppError):
    code, status, message = "fact_batch_not_found", 404, "未找到该批事实"


class FactBatchEmpty(AppError):
    """Not a line of the file could be taken."""

    code, status, message = "fact_batch_empty", 400, "文件中没有可以导入的记录"


class FactColumnsUnfit(AppError):
    """`reason`: which column is missing, twice there, or not in the catalogue (guard rail 4)."""

    code, status, message = "fact_columns_unfit", 400, "文件的表头不符合要求"

    def __init__(self, reason: str) -> None:
        super().__init__(field="file")
        self.message = f"文件的表头不符合要求：{reason}"


class FactRecipientUnknown(AppError):
    code, status, message = "fact_recipient_unknown", 404, "该居民编号不存在或未加入计划"
