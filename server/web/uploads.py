"""Files that come as a request's whole body: read as they arrive, no more of them kept than a route takes."""

from __future__ import annotations

from typing import Final, cast

from sanic import Request
from sanic.http import Http

from server.kit.errors import InvalidField
from server.web.errors import BodyTooLarge

#: Whoever is still sending hears no answer: a file up to so many times too large is heard to its end, and not kept.
PATIENCE: Final = 2


async def read_file(request: Request, most_bytes: int) -> bytes:
    """The body of a request whose route takes a file. Raises BodyTooLarge, and InvalidField("file") when there is
    nothing in it."""
    content, seen, stream = bytearray(), 0, cast(Http, request.stream)
    while (piece := await stream.read()) is not None:
        seen += len(piece)
        if seen > PATIENCE * most_bytes:
            raise BodyTooLarge
        if seen <= most_bytes:
            content += piece
        else:
            content.clear()
    if seen > most_bytes:
        raise BodyTooLarge
    if not content:
        raise InvalidField(field="file")
    return bytes(content)
