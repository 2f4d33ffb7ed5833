"""Refusals of the lottery room."""

from __future__ import annotations

from server.kit.errors import AppError


class LotteryNotFound(AppError):
    code, status, message = "lottery_not_found", 404, "未找到该抽奖"


class LotteryNotOpenYet(AppError):
    code, status, message = "lottery_not_open_yet", 409, "抽奖报名尚未开始"


class LotteryClosed(AppError):
    """Entries are counted; nobody enters any more."""

    code, status, message = "lottery_closed", 409, "抽奖报名已结束"


class AlreadyEntered(AppError):
    code, status, message = "already_entered", 409, "您已报名本次抽奖，每人限报名一次"


class ByCampaignOnly(AppError):
    """Tickets of this lottery come from campaigns alone."""

    code, status, message = "lottery_by_campaign_only", 409, "本次抽奖的奖券仅由活动赠送，不能自行报名"


class NotEntered(AppError):
    code, status, message = "lottery_not_entered", 404, "您未参加本次抽奖"


class ListNotPublished(AppError):
    """The file begins to exist when the entries are closed and counted."""

    code, status, message = "lottery_list_not_published", 409, "报名名单将在报名结束后公布"


class PrizeNotLive(AppError):
    """A prize must be a coupon that can be given when the draw is held."""

    code, status, message = "prize_not_live", 409, "奖品对应的优惠券模板尚未启用，或将在开奖前失效"


class PrizeClaimable(AppError):
    """What residents can claim themselves may be gone on the day of the draw."""

    code, status, message = "prize_claimable", 409, "奖品须使用仅限发放、不可自行领取的优惠券模板"


class PrizeStockShort(AppError):
    code, status, message = "prize_stock_short", 409, "奖品对应的优惠券库存或资金不足（已承诺给他人的不计）"


class PrizesUnderWay(AppError):
    """What is not delivered is drawn again when it is known of every prize."""

    code, status, message = "prizes_under_way", 409, "奖品仍在发放，全部有结果后方可补抽"


class NothingUndelivered(AppError):
    code, status, message = "nothing_undelivered", 409, "没有未能发放的奖品，无需补抽"


class SecondDrawExists(AppError):
    code, status, message = "second_draw_exists", 409, "该抽奖已有补抽"


class BeaconNotWanted(AppError):
    """No outside number was named, or the list that it must not influence is not published yet, or it stands."""

    code, status, message = "beacon_not_wanted", 409, "当前不能登记外部随机数"


class BeaconDiffers(AppError):
    """Two people must read the same number."""

    code, status, message = "beacon_differs", 409, "两人登记的外部随机数不一致，请核对后重新登记"
