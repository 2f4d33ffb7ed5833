"""The vault can be distributed by `b` as it stands: proven from the catalogue of a migrated database (docs/scaling.md).

    LED_BY_B      a shard holds a bucket's rows; every unique key begins with b, so each shard keeps it alone
    BY_CELL       slots: as LED_BY_B, under the cell that lies beside the buckets it serves
    DIRECTORIES   found by their own key, written before the value row, deciding nothing
    EVERYWHERE    small and read by every shard: a copy on each node
    NODE          one per node: cursors, chains and calendars over what this node has booked

A table, key, trigger, sequence or reference that fits none of these is a finding, and so is a name here that is gone.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio

from tests.support.databases import Database, connected

LED_BY_B = {
    "wallet",
    "journal",
    "journal_archive",
    "coupon",
    "hold",
    "refunded",
    "allowance",
    "credential",
    "redemption",
    "redemption_void",
    "scan_log",
    "fold",
}
BY_CELL = {"slot"}
DIRECTORIES = {
    "credential_handle": "a code tells nothing but its handle (D28)",
    "redemption_ref": "a void knows the redemption and not the resident (D28)",
}
EVERYWHERE = {
    "budget": "postings read how many slots it has; its reserve is touched by rebalancing alone",
    "budget_entry": "written by staff, read by proofs",
    "limit_cap": "changes when terms are put",
    "counter": "as budget: which one it is never changes, its slots lie by cell",
    "earn_terms": "immutable",
    "coupon_terms": "immutable",
    "acceptor": "changes when a merchant does",
    "calendar_day": "changes when a year's working days are published",
    "journal_month": "the same months on every node",
    "archived_month": "the same months on every node",
}
NODE = {
    "fold_cursor": "how far this node has folded",
    "purged_until": "how far this node has purged",
    "seal_epoch": "transaction numbers are a node's own",
    "seal": "the chain of this node",
    "seal_name": "the chain of this node",
    "day_end": "when this node's day was over",
    "seal_head": "this node's head; the city's is the hash of all heads in order",
    "proof": "what was proved of this node",
}
TABLES = """
SELECT c.oid, c.relname AS name, c.relkind::text AS kind FROM pg_class c
WHERE c.relnamespace = 'vault'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 2
"""
UNIQUE_KEYS = """
SELECT t.relname AS name, i.indexrelid::regclass::text AS key, i.indisprimary AS is_primary,
       (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = i.indkey[0]) AS first
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = 'vault'::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition AND i.indisunique
"""
REFERENCES = """
SELECT a.relname AS here, b.relname AS there FROM pg_constraint k JOIN pg_class a ON a.oid = k.conrelid
JOIN pg_class b ON b.oid = k.confrelid WHERE k.contype = 'f' AND a.relnamespace = 'vault'::regnamespace
"""
#: These take a resident, or items that carry theirs, and before that `p_b`, by which a call finds its node.
BY_BUCKET = {"open_wallet", "bump_epoch", "issue_credentials", "burn_credential", "post_batch", "post_internal"}
#: Their own key finds them, and no posting does: the application reads them before it calls.
READ_BEFORE = {"credential_handle": set[str](), "redemption_ref": {"post_round"}}
#: By staff, on what is everywhere or by cell.
PREPARING = {
    "create_budget",
    "open_counter",
    "set_budget_open",
    "put_budget_entry",
    "rebalance",
    "put_earn_terms",
    "put_coupon_terms",
    "set_acceptor",
}
#: Per node, by its worker or owner.
KEEPING = {"put_calendar_year", "ensure_partitions", "purge", "seal_next", "seal_head_next", "note_proof", "fold_next"}
READING = {"usable_next", "period_start", "now", "today", "zone", "cell", "lots_ok", "id_time", "id_version"}


@pytest_asyncio.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    async with connected(database.owner) as connection:
        yield connection


@pytest_asyncio.fixture
async def sketch(fresh_database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A database of the test's own, to be made worse."""
    async with connected(fresh_database.owner) as connection:
        yield connection


def place_of(table: str) -> str | None:
    places = {"b": LED_BY_B, "pb": BY_CELL, "directory": DIRECTORIES, "everywhere": EVERYWHERE, "node": NODE}
    return next((place for place, names in places.items() if table in names), None)


async def unplaced(connection: asyncpg.Connection) -> list[str]:
    """Tables that no list names, and names that no table has."""
    present = {row["name"] for row in await connection.fetch(TABLES)}
    named = LED_BY_B | BY_CELL | set(DIRECTORIES) | set(EVERYWHERE) | set(NODE)
    return sorted(present ^ named)


async def keys_that_cross(connection: asyncpg.Connection) -> list[str]:
    """Unique keys a shard could not keep alone, tables of a shard without a primary key, and buckets that are not the
    owner's."""
    keys = await connection.fetch(UNIQUE_KEYS)
    found = []
    for row in keys:
        place = place_of(row["name"])
        if place in ("b", "pb") and row["first"] != place:
            found.append(f"{row['key']} begins with {row['first']}")
    with_primary = {row["name"] for row in keys if row["is_primary"]}
    for row in await connection.fetch(TABLES):
        columns = {
            column["attname"]: column
            for column in await connection.fetch(
                "SELECT attname, atttypid::regtype::text AS type, attnotnull FROM pg_attribute"
                " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
                row["oid"],
            )
        }
        place = place_of(row["name"])
        if place not in ("b", "pb"):
            continue
        if row["name"] not in with_primary:
            found.append(f"{row['name']} has no primary key")
        led = columns.get(place)
        if led is None or led["type"] != "smallint" or not led["attnotnull"]:
            found.append(f"{row['name']}.{place} is no smallint that is always there")
    return found


async def references_that_cross(connection: asyncpg.Connection) -> list[str]:
    """A shard's row may refer to its own shard's, by keys led by b, or to a table that is everywhere; nothing that is
    everywhere refers to a shard."""
    allowed = {("pb", "everywhere"), ("b", "everywhere"), ("everywhere", "everywhere"), ("node", "node")}
    return [
        f"{row['here']} refers to {row['there']}"
        for row in await connection.fetch(REFERENCES)
        if (place_of(row["here"]), place_of(row["there"])) not in allowed
    ]


async def triggers_that_reach_out(connection: asyncpg.Connection) -> list[str]:
    """Triggers run where their row lies; ours raise and read nothing."""
    rows = await connection.fetch(
        """SELECT c.relname AS name, t.tgname, p.proname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
           JOIN pg_proc p ON p.oid = t.tgfoid
           WHERE c.relnamespace = 'vault'::regnamespace AND NOT t.tgisinternal AND p.proname <> 'append_only'"""
    )
    reading = await connection.fetchval(
        "SELECT prosrc ~* '(select|from|perform)' FROM pg_proc WHERE proname = 'append_only'"
    )
    return [f"{row['name']}: {row['proname']}" for row in rows] + (["append_only reads"] if reading else [])


async def numbers_in_order(connection: asyncpg.Connection) -> list[str]:
    """Sequences order nothing across nodes. A scan's number is of its bucket, a proof's of its node."""
    rows = await connection.fetch(
        """SELECT c.relname || '.' || a.attname AS it FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
           WHERE c.relnamespace = 'vault'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
             AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%')"""
    )
    known = {"scan_log.id", "proof.id"}
    return [row["it"] for row in rows if row["it"] not in known]


async def doors_without_a_side(connection: asyncpg.Connection) -> list[str]:
    """What the house may call, and by what a call finds its shard."""
    rows = await connection.fetch(
        """SELECT proname, pg_get_function_identity_arguments(p.oid) AS args, prosrc FROM pg_proc p
           WHERE pronamespace = 'vault'::regnamespace AND (has_function_privilege('chengxin_app', p.oid, 'EXECUTE')
             OR has_function_privilege('chengxin_worker', p.oid, 'EXECUTE'))"""
    )
    found = [row["proname"] for row in rows if row["proname"] not in BY_BUCKET | PREPARING | KEEPING | READING]
    for row in rows:
        if row["proname"] in BY_BUCKET and not row["args"].startswith("p_b smallint, "):
            found.append(f"{row['proname']} does not begin with a bucket")
    return found


async def calls_that_read_directories(connection: asyncpg.Connection) -> list[str]:
    """Functions that look something up in a directory, which lies on any node. What may: a partner's redemption looks
    whether its id is somebody else's."""
    rows = await connection.fetch(
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'vault'::regnamespace AND proname <> 'purge'"
    )
    return [
        f"{row['proname']} reads {name}"
        for name, allowed in READ_BEFORE.items()
        for row in rows
        if row["proname"] not in allowed and re.search(rf"(FROM|JOIN|USING) (vault\.)?{name}\b", row["prosrc"])
    ]


Check = Callable[[asyncpg.Connection], Awaitable[list[str]]]
CHECKS: tuple[Check, ...] = (
    unplaced,
    keys_that_cross,
    references_that_cross,
    triggers_that_reach_out,
    numbers_in_order,
    doors_without_a_side,
    calls_that_read_directories,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_vault_can_be_distributed_by_b(owner: asyncpg.Connection, check: Check) -> None:
    assert await check(owner) == []


async def test_every_item_carries_its_bucket_and_a_foreign_one_is_refused(owner: asyncpg.Connection) -> None:
    columns = await owner.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'vault.item'::regclass AND attnum > 0"
    )
    assert {"b", "owner", "id"} <= {row[0] for row in columns}
    without_owner, logs = {"fold", "redemption_void"}, {"scan_log"}
    for name in sorted(LED_BY_B - without_owner - logs):
        checks = await owner.fetch(
            "SELECT pg_get_constraintdef(oid) AS it FROM pg_constraint"
            " WHERE contype = 'c' AND conrelid = ('vault.' || $1)::regclass",
            name,
        )
        assert any("(owner & (1023)::bigint)" in row["it"] for row in checks), name


@pytest.mark.parametrize(
    ("worse", "check", "finding"),
    [
        ("CREATE TABLE vault.stamp (owner bigint PRIMARY KEY)", unplaced, "stamp"),
        ("ALTER TABLE vault.coupon ADD CONSTRAINT one UNIQUE (id)", keys_that_cross, "begins with id"),
        ("CREATE UNIQUE INDEX one ON vault.redemption (credential_id)", keys_that_cross, "begins with credential_id"),
        ("ALTER TABLE vault.allowance DROP CONSTRAINT allowance_pkey", keys_that_cross, "allowance has no primary key"),
        ("ALTER TABLE vault.slot ALTER pb TYPE integer", keys_that_cross, "slot.pb"),
        (
            "ALTER TABLE vault.coupon ADD FOREIGN KEY (redemption_id) REFERENCES vault.redemption_ref",
            references_that_cross,
            "coupon refers to redemption_ref",
        ),
        (
            "CREATE FUNCTION vault.count_up() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN UPDATE vault.budget SET reserve = 0; RETURN NULL; END';"
            "CREATE TRIGGER up AFTER INSERT ON vault.coupon FOR EACH ROW EXECUTE FUNCTION vault.count_up()",
            triggers_that_reach_out,
            "count_up",
        ),
        ("ALTER TABLE vault.coupon ADD COLUMN n bigserial", numbers_in_order, "coupon.n"),
        (
            "CREATE FUNCTION vault.gift(p_from bigint, p_to bigint) RETURNS void LANGUAGE sql AS '';"
            "GRANT EXECUTE ON FUNCTION vault.gift TO chengxin_app",
            doors_without_a_side,
            "gift",
        ),
        (
            "CREATE FUNCTION vault.open_wallet(p_owner bigint) RETURNS void LANGUAGE sql AS '';"
            "GRANT EXECUTE ON FUNCTION vault.open_wallet(bigint) TO chengxin_app",
            doors_without_a_side,
            "open_wallet does not begin with a bucket",
        ),
        (
            "CREATE FUNCTION vault.owner_of(h bigint) RETURNS bigint LANGUAGE sql AS"
            " 'SELECT c.owner FROM vault.credential_handle c WHERE c.handle = h'",
            calls_that_read_directories,
            "owner_of reads credential_handle",
        ),
    ],
    ids=lambda value: None,
)  # fmt: skip
async def test_what_could_not_be_distributed_is_found(
    sketch: asyncpg.Connection, worse: str, check: Check, finding: str
) -> None:
    await sketch.execute(worse)
    found = await check(sketch)
    assert any(finding in one for one in found), found
