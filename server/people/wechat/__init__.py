"""The house's own WeChat client."""

from __future__ import annotations

from server.people.wechat.client import WeChat, WeChatLogin

__all__ = ["WeChat", "WeChatLogin"]
