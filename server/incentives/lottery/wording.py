"""The Chinese rules of a lottery, made from the lottery itself so that the two cannot disagree."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from server.incentives.lottery.models import Lottery


def rules_text(lottery: Lottery, zone: ZoneInfo) -> str:
    """What a resident may expect, in Chinese sentences."""
    prizes = "，".join(f"第{prize['rank']}等「{prize['name']}」{prize['count']}名" for prize in lottery.prizes)
    way = "居民本人在线报名，得1张奖券" if lottery.self_entry else "奖券仅由活动赠送，不接受自行报名"
    if lottery.second_of is not None:
        way = (
            f"本次为第{lottery.second_of}号抽奖的补抽，奖品为其未能发放的奖品，"
            "参加者为其全部未中奖者，奖券数不变，无需报名"
        )
    more = "；参与相关活动可增加奖券" if lottery.self_entry and lottery.max_tickets > 1 else ""
    beacon = (
        f"，并计入报名结束后才产生的外部随机数：{lottery.beacon_source}，由两名工作人员登记"
        if lottery.beacon_source
        else ""
    )
    return "；".join(
        [
            f"奖项：{prizes}",
            f"{'名单截止' if lottery.second_of is not None else '报名'}时间："
            f"{'' if lottery.second_of is not None else _moment(lottery.opens_at, zone) + '至'}"
            f"{_moment(lottery.closes_at, zone)}",
            f"{way}{more}",
            f"同一居民身份合并计算，每人最多{lottery.max_tickets}张奖券，最多中奖1次",
            "参加不收取费用、不消耗积分",
            f"开奖时间：{_moment(lottery.draw_at, zone)}之后",
            f"开奖前公布密钥的哈希值，报名结束后公布匿名名单及其摘要，开奖时公布密钥{beacon}，任何人可据此重新计算",
            "中奖名单只含匿名编码，奖品以电子券发放，发放结果一并公布；因超出每人限领等原因未能发放的，公布原因，"
            "可另行公告补抽；中奖人数不足的，剩余奖品不再发放",
        ]
    ) + "。"  # fmt: skip


def _moment(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local.year}年{local.month}月{local.day}日{local:%H:%M}"
