"""The house's own WeChat client."""

from __future__ import annotations

from server.people.wechat.client import Delivery, WeChat, WeChatLogin

__all__ = ["Delivery", "WeChat", "WeChatLogin"]
