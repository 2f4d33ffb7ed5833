"""What codes are called where people read them: statuses, reasons of an end, units."""

from __future__ import annotations

from typing import Final

#: Statuses of campaigns and templates, their versions, requests, grant jobs, fact batches, codes and lotteries.
STATUSES: Final = {
    "draft": "草稿", "in_review": "审核中", "rejected": "已驳回", "discarded": "已放弃", "approved": "已批准",
    "scheduled": "待开始", "active": "进行中", "live": "生效中", "superseded": "已被替代", "paused": "已暂停",
    "ended": "已结束", "archived": "已归档",
    "requested": "待审批", "withdrawn": "已撤回", "done": "已入账", "refused": "被账本拒绝",
    "receiving": "接收中", "running": "执行中", "finished": "已完成", "cancelled": "已取消",
    "making": "生成中", "made": "待批准", "ready": "可使用", "stopped": "已停用", "opened": "已下载",
    "published": "已公布", "closed": "已截止报名", "drawn": "已开奖",
}  # fmt: skip
ENDS: Final = {"budget_exhausted": "预算用尽", "time": "到期", "manual": "人工结束", "discarded": "已放弃"}
UNITS: Final = {"points": "积分", "fen": "分", "coupons": "张"}


def status_text(*statuses: str) -> str:
    """Statuses as a sentence names them: “草稿”或“审核中”."""
    return "或".join(f"“{STATUSES.get(one, one)}”" for one in statuses)
