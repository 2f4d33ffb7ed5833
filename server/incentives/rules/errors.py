"""Why a rule may not be saved or go live."""

from __future__ import annotations

from typing import Final

from server.kit.errors import AppError

#: A name that somebody made up may be of any length.
LONGEST_FIELD: Final = 120


class RuleRefused(AppError):
    """`reason`: for people, in Chinese; `field`: which part of the rule, as condition.of[1].attribute."""

    code, status, message = "rule_refused", 422, "该规则不可用"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field=field[:LONGEST_FIELD])
        self.reason = reason
        self.message = f"该规则不可用：{reason}"
