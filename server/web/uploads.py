"""Files that come as a request's whole body: read as they arrive, refused as soon as they are too large."""

from __future__ import annotations

from typing import cast

from sanic import Request
from sanic.http import Http

from server.kit.errors import InvalidField
from server.web.errors import BodyTooLarge


async def read_file(request: Request, most_bytes: int) -> bytes:
    """The body of a request whose route takes a file. Raises BodyTooLarge, and InvalidField("file") when there is
    nothing in it."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most_bytes:
        raise BodyTooLarge
    content, stream = bytearray(), cast(Http, request.stream)
    while (piece := await stream.read()) is not None:
        content += piece
        if len(content) > most_bytes:
            raise BodyTooLarge
    if not content:
        raise InvalidField(field="file")
    return bytes(content)
