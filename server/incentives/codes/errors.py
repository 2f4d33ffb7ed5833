"""Refusals of the voucher codes room."""

from __future__ import annotations

from server.kit.errors import AppError


class VoucherBatchNotFound(AppError):
    code, status, message = "voucher_batch_not_found", 404, "未找到该兑换码批次"


class VoucherStockShort(AppError):
    """More codes than coupons: some who type theirs would find nothing. `left`: what the template can still give beside
    what others were promised."""

    code, status, message = "voucher_stock_short", 409, "模板可发放的优惠券少于兑换码数量"

    def __init__(self, left: int, codes: int) -> None:
        super().__init__()
        self.message = (
            f"该模板除已承诺给他人的以外，按库存和资金还可发放{left}张，少于本批次的{codes}个兑换码；"
            "可减少数量、先追加预算，或下单时注明 beyond_stock"
        )


class VoucherFileEmpty(AppError):
    code, status, message = "voucher_file_empty", 400, "文件中没有可用的兑换码"


class VoucherFileTooLong(AppError):
    code, status, message = "voucher_file_too_long", 400, "一个批次最多 1000000 个兑换码"


class UploadReplaced(AppError):
    """Another upload for the same batch began meanwhile."""

    code, status, message = "upload_replaced", 409, "该批次已有新的上传，本次上传已停止"


class VoucherExportNotFound(AppError):
    code, status, message = "voucher_export_not_found", 404, "未找到该导出申请"


class VoucherExportClosed(AppError):
    """Not approved, approved too long ago, opened before, or asked for by somebody else."""

    code, status, message = "voucher_export_closed", 409, "该导出申请未获批准、已过期或已下载过，请重新申请"


class NothingToExport(AppError):
    """Codes that others made are kept as keyed hashes only, or sealed for those they are shown to."""

    code, status, message = "nothing_to_export", 409, "只有本平台生成的兑换码可以导出"


class VoucherCodeNotUsable(AppError):
    """Unknown, used by somebody else, not approved or stopped: nobody is told which."""

    code, status, message = "voucher_code_not_usable", 409, "兑换码无效或已被使用"


class VoucherCodeMistyped(AppError):
    """Its check character does not fit: it can be none of ours."""

    code, status, message = "voucher_code_mistyped", 400, "兑换码输入有误，请核对后重试"


class NoExternalCode(AppError):
    """No third party's code belongs to this coupon, or none is left."""

    code, status, message = "no_external_code", 409, "该电子券暂无可用的第三方券码"
