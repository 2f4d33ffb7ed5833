"""A stand-in for api.weixin.qq.com and for the name-and-ID check: real sockets, the real rules, no outside world.

python -m server.sandbox.wechat --port 9801
"""

from __future__ import annotations

from typing import Final

SANDBOX_APPID: Final = "wx5a4dbc0100000001"
SANDBOX_SECRET: Final = "sandbox-wechat-secret-of-no-value"
SANDBOX_REALNAME_KEY: Final = "sandbox-realname-key-of-no-value"
