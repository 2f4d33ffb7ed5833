"""Voucher codes: words on paper that become coupons, each once.

platform   made by us ──export by two people──> printed ──typed by a resident──┐
uploaded   made by others, in a file ──────────────────typed by a resident─────┴─> exchange ──owe──> a coupon
external   codes of a third party, in a file ──> one is shown beside each coupon of the template
"""
