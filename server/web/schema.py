"""Strict decoding: what a route did not ask for is refused, and the answer names the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from server.kit.errors import AppError, InvalidField
from server.web.errors import MalformedJson, UnknownField

_PATH: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_NAMED: Final = re.compile(r"(unknown|required) field `([^`]*)`")
_NUL: Final = b"\\u0000"


def body_decoder(kind: Any) -> Callable[[bytes], Any]:
    """A function from the bytes of a body to `kind`. It raises MalformedJson, UnknownField or InvalidField."""
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> Any:
        try:
            if _NUL in body:
                raise InvalidField
            return decode(body)
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise MalformedJson from None

    return read


def query_decoder(kind: Any) -> Callable[[Any], Any]:
    """A function from query arguments to `kind`; each name at most once, no name it does not know."""
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}

    def read(arguments: Any) -> Any:
        given: dict[str, str] = {}
        for name, values in arguments.items():
            if name not in fields:
                raise UnknownField(field=_short(name))
            if len(values) != 1 or "\0" in values[0]:
                raise InvalidField(field=name)
            given[name] = values[0]
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from None

    return read


def _refusal(text: str) -> AppError:
    path = _PATH.search(text)
    field = path.group(1).lstrip(".") if path else ""
    named = _NAMED.search(text)
    if named:
        field = f"{field}.{named.group(2)}" if field else named.group(2)
        if named.group(1) == "unknown":
            return UnknownField(field=_short(field))
    return InvalidField(field=_short(field) or None)


def _short(name: str) -> str:
    return name[:64]
