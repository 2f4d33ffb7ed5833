"""Incentives: facts come in, campaigns turn them into awards, templates become coupons; budgets bound both.

fact ──> campaign (live when the fact occurred) ──> award ──> vault.earn
template ──activation by a second person──> vault terms + budgets ──> claims (wallet)
"""
