"""Notices: what residents are told ahead of time, in their inbox always and through WeChat when they have asked for it.

writing.py   daily pass over wallets and coupons ──► notice (once per lot and lead)
inbox.py     what residents read
grants.py    how many WeChat messages a resident has asked for
sending.py   notice ──► WeChat, at most once, one grant each
"""
