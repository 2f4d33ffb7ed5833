"""Finding campaigns and templates: by status, kind, words, time, editor; in four orders, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from server.incentives.rows import Kind
from server.kit.db import fetch

Sort = Literal["newest", "oldest", "starts", "ends"]

#: The key of each order, always together with the id, and its direction.
_KEYS: Final[dict[Sort, tuple[str, str]]] = {
    "newest": ("0::bigint", "DESC"),
    "oldest": ("0::bigint", "ASC"),
    "starts": ("(extract(epoch FROM v.starts_at) * 1000000)::bigint", "ASC"),
    "ends": ("(extract(epoch FROM v.ends_at) * 1000000)::bigint", "ASC"),
}
_WHAT: Final = {"campaign": "v.trigger", "coupon_template": "v.kind"}


@dataclass(frozen=True, slots=True)
class Search:
    """All filters are optional; without a status what is archived is left out. `what`: a campaign's kind of fact, a
    template's kind; `text`: in title or document; `since`, `until`: its window reaches into this time; `created_by`:
    who made it or edited it last."""

    status: str | None = None
    what: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    created_by: int | None = None
    sort: Sort = "newest"


async def find(
    kind: Kind[Any, Any], search: Search, after: tuple[int, int] | None, limit: int
) -> list[tuple[int, int]]:
    """Up to `limit` (key, id) behind `after`, in the search's order, by the version that stands for each."""
    key, direction = _KEYS[search.sort]
    beyond = ">" if direction == "ASC" else "<"
    rows = await fetch(
        f"""
SELECT r.id, {key} AS key FROM {kind.noun} r
JOIN LATERAL (SELECT * FROM {kind.noun}_version o WHERE o.{kind.owner} = r.id
              ORDER BY o.id = r.live_version DESC NULLS LAST, o.number DESC LIMIT 1) v ON true
WHERE (r.status = $1 OR $1::text IS NULL AND r.status <> 'archived') AND ($2::text IS NULL OR {_WHAT[kind.noun]} = $2)
  AND ($3::text IS NULL OR position(lower($3) IN lower(v.title)) > 0 OR position(lower($3) IN lower(v.document)) > 0)
  AND ($4::timestamptz IS NULL OR v.ends_at > $4) AND ($5::timestamptz IS NULL OR v.starts_at < $5)
  AND ($6::bigint IS NULL OR r.created_by = $6 OR v.created_by = $6)
  AND ($7::bigint IS NULL OR ({key}, r.id) {beyond} ($7, $8::bigint))
ORDER BY {key} {direction}, r.id {direction} LIMIT $9""",  # noqa: S608
        search.status, search.what, search.text, search.since, search.until, search.created_by,
        after[0] if after else None, after[1] if after else None, limit,
    )  # fmt: skip
    return [(row["key"], row["id"]) for row in rows]
