"""Refusals of the grants room."""

from __future__ import annotations

from server.kit.errors import AppError


class RecipientListNotFound(AppError):
    code, status, message = "recipient_list_not_found", 404, "未找到该发放名单"


class RecipientListNotReady(AppError):
    """Its file has not been taken in whole."""

    code, status, message = "recipient_list_not_ready", 409, "名单尚未接收完成，请重新上传"


class RecipientListEmpty(AppError):
    code, status, message = "recipient_list_empty", 400, "文件中没有可发放的居民编号"


class GrantJobNotFound(AppError):
    code, status, message = "grant_job_not_found", 404, "未找到该发放任务"


class SegmentTooSmall(AppError):
    """What so few people got would tell who they are (guard rail 21)."""

    code, status, message = "segment_too_small", 409, "该人群人数过少，不能按人群发放"


class SegmentGiftNotOpen(AppError):
    """Who does not want to be picked by his profile finds the same stock (guard rail 12)."""

    code, status = "segment_gift_not_open", 409
    message = "按等级或兴趣选出的人群，只能发放居民也可自行领取的优惠券"


class TemplateNotLive(AppError):
    """Coupons can be given only of a template that is approved and running."""

    code, status, message = "template_not_live", 409, "该优惠券模板未在进行中，不能发放"
