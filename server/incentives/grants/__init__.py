"""Coupons that the house gives: what is owed is written down once, posted by the worker, settled once.

lottery, voucher codes, campaigns ──owe──┐
grant job ──owe_page (a page at a time)──┴─> coupon_grant ──vault.grant(v8 id)──> posted | refused
"""
