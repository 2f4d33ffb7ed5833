"""Why a rule may not be saved."""

from __future__ import annotations

from server.kit.errors import AppError


class RuleRefused(AppError):
    """`reason`: for people, in Chinese; `field`: which part of the rule, as condition.of[1].attribute."""

    code, status, message = "rule_refused", 422, "该规则不可保存"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field=field)
        self.reason = reason
        self.message = f"该规则不可保存：{reason}"
