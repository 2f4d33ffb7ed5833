"""A stand-in for api.weixin.qq.com and for the name-and-ID check: real sockets, the real rules, no outside world.

python -m server.sandbox.wechat --port 9801
"""

from __future__ import annotations

from typing import Final

SANDBOX_APPID: Final = "wx5a4dbc0100000001"
SANDBOX_SECRET: Final = "sandbox-wechat-secret-of-no-value"
SANDBOX_REALNAME_KEY: Final = "sandbox-realname-key-of-no-value"

#: The subscribe-message templates of the sandbox's app, as its owner would have put them together: id -> keywords.
SANDBOX_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "SandboxPointsExpiringTemplate-of-no-value-1": ("thing1", "number2", "date3", "thing4"),
    "SandboxCouponExpiringTemplate-of-no-value-2": ("thing1", "thing2", "date3"),
}
SANDBOX_POINTS_MESSAGE, SANDBOX_COUPON_MESSAGE = (
    f"{template};{fields}"
    for template, fields in zip(
        SANDBOX_TEMPLATES,
        ("title=thing1;points=number2;day=date3;advice=thing4", "title=thing1;name=thing2;day=date3"),
        strict=True,
    )
)
