"""Strict decoding: what a route did not ask for is refused, and the answer names the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final, get_args, get_type_hints

import msgspec

from server.kit.errors import AppError, InvalidField
from server.web.errors import MalformedJson, UnknownField

_PATH: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_KEY: Final = re.compile(r" - at `key` in `\$([^`]*)`$")
_NAMED: Final = re.compile(r"(unknown|required) field `([^`]*)`")
_NUL: Final = b"\\u0000"
_ANY_KEY: Final = "[...]"
#: A day before and after, and any offset, still is a date of the calendar that Python and PostgreSQL share.
FIRST_YEAR, LAST_YEAR = 2, 9998
#: So many keys of a mapping are tried one by one to name the one that is wrong.
KEYS_TRIED: Final = 100


def body_decoder(kind: Any) -> Callable[[bytes], Any]:
    """A function from the bytes of a body to `kind`. It raises MalformedJson, UnknownField or InvalidField."""
    decode = msgspec.json.Decoder(kind).decode
    check = _checks(kind)

    def read(body: bytes) -> Any:
        try:
            if _NUL in body:
                _refuse_nul(msgspec.json.decode(body), "")
            found = decode(body)
        except msgspec.ValidationError as error:
            raise _refusal(str(error), lambda path: _wrong_key(body, path, decode)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise MalformedJson from None
        check(found)
        return found

    return read


def query_decoder(kind: Any) -> Callable[[Any], Any]:
    """A function from query arguments to `kind`; each name at most once, no name it does not know."""
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    check = _checks(kind)

    def read(arguments: Any) -> Any:
        given: dict[str, str] = {}
        for name, values in arguments.items():
            if name not in fields:
                raise UnknownField(field=_short(name))
            if len(values) != 1 or "\0" in values[0]:
                raise InvalidField(field=name)
            given[name] = values[0]
        try:
            found = msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from None
        check(found)
        return found

    return read


def refuse_query(arguments: Any) -> None:
    """Raise UnknownField for any query argument (see `Route.refuses_arguments`)."""
    for name in arguments:
        raise UnknownField(field=_short(name))


def _checks(kind: Any) -> Callable[[Any], None]:
    """What no type says: days with which one can reckon, and a `last_day` that is not before its `first_day`."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return lambda found: None
    hints = get_type_hints(kind)
    days = [(one.name, one.encode_name) for one in msgspec.structs.fields(kind) if _holds_day(hints[one.name])]
    ordered = {"first_day", "last_day"} <= hints.keys()

    def check(found: Any) -> None:
        for name, sent_as in days:
            day = getattr(found, name)
            if isinstance(day, date) and not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise InvalidField(field=sent_as)
        if ordered and found.first_day and found.last_day and found.last_day < found.first_day:
            raise InvalidField(field="last_day")

    return check


def _holds_day(hint: Any) -> bool:
    return (isinstance(hint, type) and issubclass(hint, date)) or any(_holds_day(one) for one in get_args(hint))


def _refuse_nul(value: Any, path: str) -> None:
    """PostgreSQL has no text with U+0000: the first one is refused by its name."""
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidField(field=_short(path) or None)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            _refuse_nul(one, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            inner = f"{path}.{name}" if path else name
            _refuse_nul(name, inner)
            _refuse_nul(one, inner)


def _wrong_key(body: bytes, path: str, decode: Callable[[bytes], Any]) -> str:
    """The path with the key for which it stands: the first one that is refused alone, too."""
    document: Any = msgspec.json.decode(body)
    holder, name = None, ""
    inner = document
    for name in path.split("."):
        if not isinstance(inner, dict) or name not in inner:
            return path
        holder, inner = inner, inner[name]
    if holder is None or not isinstance(inner, dict):
        return path
    for key, value in list(inner.items())[:KEYS_TRIED]:
        holder[name] = {key: value}
        try:
            decode(msgspec.json.encode(document))
        except msgspec.ValidationError as error:
            at = _KEY.search(str(error)) or _PATH.search(str(error))
            if at and at.groups()[-1].lstrip(".").partition(_ANY_KEY)[0] == path:
                return f"{path}.{key}" if key else path
    return path


def _refusal(text: str, key_in: Callable[[str], str] = str) -> AppError:
    at_key = _KEY.search(text)
    path = at_key or _PATH.search(text)
    field = path.groups()[-1].lstrip(".") if path else ""
    if at_key:
        field = key_in(field)
    elif _ANY_KEY in field:
        holder, _, rest = field.partition(_ANY_KEY)
        field = key_in(holder) + rest
    named = _NAMED.search(text)
    if named:
        field = f"{field}.{named.group(2)}" if field else named.group(2)
        if named.group(1) == "unknown":
            return UnknownField(field=_short(field))
    return InvalidField(field=_short(field) or None)


def _short(name: str) -> str:
    """At most 64 characters, those that nobody can see replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name[:64])
