"""What the stand-in remembers: apps, codes, tokens, people, quotas, planned faults, and its own clock.

Every rule follows WeChat's public documents or a logged reply; where they are silent a comment says what was chosen.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from server.sandbox.wechat.messages import Messages, Refused

CODE_LIFE_S: Final = 300
TOKEN_LIFE_S: Final = 7200
TOKEN_OVERLAP_S: Final = 300
FORCE_GAP_S: Final = 30
FORCE_PER_DAY: Final = 20
DAY_S: Final = 86_400

#: errcode -> errmsg, as the service words them.
ERRORS: Final[dict[int, str]] = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40037: "invalid template_id",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "high risk user, code blocked",
    41001: "access_token missing",
    41008: "missing code",
    41030: "invalid page",
    42001: "access_token expired",
    43101: "user refuse to accept the msg",
    43104: "appid does not match openid",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47001: "data format error",
    47003: "argument invalid!",
}

#: path -> (calls a minute, errcode above that)
QUOTAS: Final[dict[str, tuple[int, int]]] = {
    "/sns/jscode2session": (100_000, 45011),
    "/wxa/business/getuserphonenumber": (100_000, 45011),
    "/cgi-bin/stable_token": (10_000, 45009),
    "/cgi-bin/message/subscribe/send": (100_000, 45009),
}


@dataclass
class Code:
    """A one-use code; `detail` is the union id of a login code and the phone number of a phone code."""

    openid: str
    detail: str | None
    minted_at: float
    blocked: bool = False
    used: bool = False


@dataclass
class Token:
    value: str
    made_at: float
    dead_at: float


@dataclass
class Fault:
    """What goes wrong on the next `times` calls of `path`; `after` lets the call take effect first."""

    path: str
    times: int = 1
    errcode: int | None = None
    delay_ms: int = 0
    reset: bool = False
    malformed: bool = False
    html502: bool = False
    after: bool = False

    @property
    def is_only_slow(self) -> bool:
        """Nothing but the delay is wrong."""
        return self.errcode is None and not (self.reset or self.malformed or self.html502)


@dataclass
class World:
    """The whole state; `reset` forgets everything but the apps."""

    apps: dict[str, str]
    realname_key: str
    offset_s: float = 0.0
    login_codes: dict[str, Code] = field(default_factory=dict)
    phone_codes: dict[str, Code] = field(default_factory=dict)
    session_keys: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, list[Token]] = field(default_factory=dict)
    forced: dict[str, list[float]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    messages: Messages = field(default_factory=Messages)
    quotas: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(QUOTAS))
    minutes: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    errcodes: Counter[str] = field(default_factory=Counter)

    def now(self) -> float:
        """Seconds since the epoch, by the stand-in's clock."""
        return time.time() + self.offset_s

    def reset(self) -> None:
        """Back to the first day."""
        self.__init__(self.apps, self.realname_key)  # type: ignore[misc]

    def rid(self) -> str:
        """A request id as WeChat writes it at the end of every errmsg."""
        return f"{int(self.now()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"

    def error(self, errcode: int, detail: str = "") -> dict[str, Any]:
        """The body of a refusal."""
        self.errcodes[str(errcode)] += 1
        text = " ".join(filter(None, (ERRORS.get(errcode, "unknown error"), detail)))
        return {"errcode": errcode, "errmsg": f"{text}, rid: {self.rid()}"}

    def count(self, path: str) -> None:
        """One more call; `Refused` above the minute's quota."""
        self.calls[path] += 1
        limit, errcode = self.quotas.get(path, (1_000_000, 45009))
        minute = (path, int(self.now() // 60))
        self.minutes[minute] += 1
        if self.minutes[minute] > limit:
            raise Refused(errcode)

    def next_fault(self, path: str) -> Fault | None:
        """The planned fault of this call, used up."""
        for fault in self.faults:
            if fault.path == path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def mint_login(self, openid: str, unionid: str | None, *, blocked: bool) -> str:
        """What wx.login would hand to the phone of `openid`."""
        self.messages.openids.add(openid)
        code = "0" + secrets.token_hex(15) + "w"
        self.login_codes[code] = Code(openid, unionid, self.now(), blocked=blocked)
        return code

    def mint_phone(self, openid: str, phone: str) -> str:
        """What the phone-number button would hand to the phone of `openid`."""
        self.messages.openids.add(openid)
        code = secrets.token_hex(32)
        self.phone_codes[code] = Code(openid, phone, self.now())
        return code

    def check_app(self, appid: str, secret: str) -> None:
        """`Refused` unless the app and its secret are right."""
        if appid not in self.apps:
            raise Refused(40013)
        if self.apps[appid] != secret:
            raise Refused(40125)

    def log_in(self, code: str) -> dict[str, Any]:
        """Use a login code up: once, within five minutes. A new session key replaces the person's old one."""
        minted = self._fresh(self.login_codes.get(code))
        if minted.used:
            raise Refused(40163)
        minted.used = True
        if minted.blocked:
            raise Refused(40226)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.session_keys[minted.openid] = key
        answer: dict[str, Any] = {"session_key": key, "openid": minted.openid}
        return answer | ({"unionid": minted.detail} if minted.detail else {})

    def phone_of(self, appid: str, code: str, openid: str | None) -> dict[str, Any]:
        """Use a phone code up. A used one is simply invalid here, as the document lists no other errcode."""
        minted = self._fresh(self.phone_codes.get(code))
        if minted.used:
            raise Refused(40029)
        if openid is not None and openid != minted.openid:
            raise Refused(43104)
        minted.used = True
        return {
            "errcode": 0,
            "errmsg": "ok",
            "phone_info": {
                "phoneNumber": minted.detail,
                "purePhoneNumber": minted.detail,
                "countryCode": "86",
                "watermark": {"timestamp": int(self.now()), "appid": appid},
            },
        }

    def stable_token(self, appid: str, *, force: bool) -> dict[str, Any]:
        """The same token until five minutes before its end; then a new one beside it. Force kills the old at once."""
        now = self.now()
        alive = [token for token in self.tokens.get(appid, []) if token.dead_at > now]
        if force:
            self._count_force(appid, now)
            alive = []
        if not alive or alive[-1].made_at + TOKEN_LIFE_S - now <= TOKEN_OVERLAP_S:
            alive.append(Token("9" + secrets.token_urlsafe(100), now, now + TOKEN_LIFE_S))
        self.tokens[appid] = alive
        newest = alive[-1]
        return {"access_token": newest.value, "expires_in": int(newest.made_at + TOKEN_LIFE_S - now)}

    def app_of(self, token: str | None) -> str:
        """The app of a living access token, else `Refused`."""
        if not token:
            raise Refused(41001)
        for appid, tokens in self.tokens.items():
            for known in tokens:
                if known.value == token:
                    if known.dead_at <= self.now():
                        raise Refused(42001)
                    return appid
        raise Refused(40001)

    def _fresh(self, code: Code | None) -> Code:
        if code is None or self.now() - code.minted_at > CODE_LIFE_S:
            raise Refused(40029)
        return code

    def _count_force(self, appid: str, now: float) -> None:
        # The document gives the limits but no errcode for them: the minute's and the day's are taken.
        earlier = [at for at in self.forced.get(appid, []) if now - at < DAY_S]
        if earlier and now - earlier[-1] < FORCE_GAP_S:
            raise Refused(45011)
        if len(earlier) >= FORCE_PER_DAY:
            raise Refused(45009)
        self.forced[appid] = [*earlier, now]
