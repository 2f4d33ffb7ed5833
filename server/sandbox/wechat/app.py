"""The stand-in's routes: those of WeChat, the name-and-ID check, and /_sim/ for whoever arranges the scene."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json as json_reply
from sanic.response import raw

from server.sandbox.wechat.messages import Refused
from server.sandbox.wechat.world import Fault, World

Handler = Callable[[Request], dict[str, Any]]
Serve = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]


def create_app(world: World) -> Sanic[Any, Any]:
    """One app on one world."""
    app: Sanic[Any, Any] = Sanic("wechat_stand_in")
    app.config.FALLBACK_ERROR_FORMAT = "json"
    _add_wechat(app, world)
    _add_realname(app, world)
    _add_control(app, world)
    return app


def _body(request: Request) -> dict[str, Any]:
    """The JSON body; anything else, a form above all, is a data format error."""
    try:
        body = json.loads(request.body)
    except ValueError:
        raise Refused(47001) from None
    if not isinstance(body, dict):
        raise Refused(47001)
    return body


def _served(world: World, path: str, handle: Handler, content_type: str) -> Serve:
    """HTTP 200 whatever happens, unless a fault is planned."""

    def answer(request: Request) -> dict[str, Any]:
        try:
            world.count(path)
            return handle(request)
        except Refused as refused:
            return world.error(refused.errcode, refused.detail)

    async def serve(request: Request) -> HTTPResponse:
        fault = world.next_fault(path)
        if fault is None:
            return _reply(answer(request), content_type)
        if fault.after or fault.is_only_slow:
            done = answer(request)
        else:
            world.calls[path] += 1
            done = {}
        return await _broken(world, fault, request, done, content_type)

    serve.__name__ = path.strip("/").replace("/", "_")
    return serve


def _reply(body: dict[str, Any], content_type: str) -> HTTPResponse:
    return raw(json.dumps(body).encode(), content_type=content_type)


async def _broken(
    world: World, fault: Fault, request: Request, done: dict[str, Any], content_type: str
) -> HTTPResponse:
    if fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)
    if fault.reset:
        # uvloop's transport is no asyncio.WriteTransport by type, only by its methods.
        cast("asyncio.WriteTransport", request.transport).abort()
        return raw(b"", status=500)
    if fault.html502:
        page = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
        return raw(page, status=502, content_type="text/html")
    if fault.malformed:
        return raw(b'{"errcode":0,"errm', content_type=content_type)
    if fault.errcode is not None:
        return _reply(world.error(fault.errcode), content_type)
    return _reply(done, content_type)


def _add_wechat(app: Sanic[Any, Any], world: World) -> None:
    def jscode2session(request: Request) -> dict[str, Any]:
        world.check_app(request.args.get("appid", ""), request.args.get("secret", ""))
        if request.args.get("grant_type") != "authorization_code":
            raise Refused(40002)
        code = request.args.get("js_code")
        if not code:
            raise Refused(41008)
        return world.log_in(code)

    def getuserphonenumber(request: Request) -> dict[str, Any]:
        appid = world.app_of(request.args.get("access_token"))
        body = _body(request)
        return world.phone_of(appid, str(body.get("code", "")), body.get("openid"))

    def stable_token(request: Request) -> dict[str, Any]:
        body = _body(request)
        if body.get("grant_type") != "client_credential":
            raise Refused(40002)
        appid = str(body.get("appid", ""))
        world.check_app(appid, str(body.get("secret", "")))
        return world.stable_token(appid, force=body.get("force_refresh") is True)

    def subscribe_send(request: Request) -> dict[str, Any]:
        world.app_of(request.args.get("access_token"))
        return world.messages.send(_body(request))

    plain, typed = "text/plain", "application/json; encoding=utf-8"
    for method, path, handler, content_type in (
        ("GET", "/sns/jscode2session", jscode2session, plain),
        ("POST", "/wxa/business/getuserphonenumber", getuserphonenumber, typed),
        ("POST", "/cgi-bin/stable_token", stable_token, typed),
        ("POST", "/cgi-bin/message/subscribe/send", subscribe_send, typed),
    ):
        app.add_route(_served(world, path, handler, content_type), path, methods=[method])


def _add_realname(app: Sanic[Any, Any], world: World) -> None:
    path = "/realname/v1/check"

    def check(request: Request) -> dict[str, Any]:
        body = _body(request)
        known = world.people.get(str(body.get("id_number", "")))
        if known is None:
            return {"result": "no_record"}
        return {"result": "match" if known == body.get("name") else "mismatch"}

    served = _served(world, path, check, "application/json")

    async def guarded(request: Request) -> HTTPResponse:
        if not hmac.compare_digest(request.headers.get("x-api-key", ""), world.realname_key):
            return json_reply({"error": "unauthorized"}, status=401)
        answer: HTTPResponse = await served(request)
        return answer

    app.add_route(guarded, path, methods=["POST"], name="realname_check")


def _add_control(app: Sanic[Any, Any], world: World) -> None:
    @app.get("/_sim/health")
    async def health(_: Request) -> HTTPResponse:
        return json_reply({"stand_in": "wechat", "now": world.now()})

    @app.post("/_sim/login-codes")
    async def login_codes(request: Request) -> HTTPResponse:
        body = request.json
        code = world.mint_login(body["openid"], body.get("unionid"), blocked=bool(body.get("blocked")))
        return json_reply({"code": code}, status=201)

    @app.post("/_sim/phone-codes")
    async def phone_codes(request: Request) -> HTTPResponse:
        body = request.json
        return json_reply({"code": world.mint_phone(body["openid"], body["phone"])}, status=201)

    @app.post("/_sim/people")
    async def people(request: Request) -> HTTPResponse:
        world.people |= {person["id_number"]: person["name"] for person in request.json["people"]}
        return json_reply({"people": len(world.people)}, status=201)

    @app.post("/_sim/subscriptions")
    async def subscriptions(request: Request) -> HTTPResponse:
        body = request.json
        left = world.messages.subscribe(body["openid"], body["template_id"], int(body.get("count", 1)))
        return json_reply({"left": left}, status=201)

    @app.get("/_sim/messages")
    async def messages(_: Request) -> HTTPResponse:
        return json_reply({"messages": list(world.messages.sent)})

    @app.post("/_sim/faults")
    async def faults(request: Request) -> HTTPResponse:
        world.faults.append(Fault(**request.json))
        return json_reply({"faults": len(world.faults)}, status=201)

    @app.post("/_sim/quotas")
    async def quotas(request: Request) -> HTTPResponse:
        world.quotas[request.json["path"]] = (request.json["per_minute"], request.json["errcode"])
        return json_reply({}, status=201)

    @app.post("/_sim/clock")
    async def clock(request: Request) -> HTTPResponse:
        world.offset_s += request.json["advance_s"]
        return json_reply({"now": world.now()})

    @app.post("/_sim/tokens/kill")
    async def kill_tokens(_: Request) -> HTTPResponse:
        world.tokens.clear()
        return json_reply({})

    @app.get("/_sim/counters")
    async def counters(_: Request) -> HTTPResponse:
        return json_reply({"calls": dict(world.calls), "errcodes": dict(world.errcodes)})

    @app.post("/_sim/reset")
    async def reset(_: Request) -> HTTPResponse:
        world.reset()
        return json_reply({})
