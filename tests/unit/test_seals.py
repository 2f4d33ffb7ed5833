"""The bytes of a seal, computed without a database, are those that are written down here once and for all."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from wallet.seals import LEGS, ROW, SEAL, name_of, root_of, row_digest, sealed_bytes

ID = UUID("019ab000-0000-7000-8000-000000000001")
PLAIN = {name: None for name, _ in ROW} | {
    "b": 5, "owner": 5, "id": ID, "seq": 1, "op": 1, "st": 0, "d_avail": 100, "d_held": 0, "d_peer": -100,
    "avail_after": 100, "held_after": 0, "lots": '[["2028-11-30", 100]]', "hash": b"\x01\x02",
    "at": datetime(2026, 11, 23, 4, 5, 6, 789, UTC), "txid": 1234,
}  # fmt: skip


def test_a_row_is_counted_columns_each_with_type_length_and_bytes() -> None:
    said = sealed_bytes(PLAIN)
    assert said[:4] == (len(ROW) + 1).to_bytes(4, "big")
    assert said[4:14] == bytes.fromhex("00000015 00000002 0001"), "the version"
    assert said[14:24] == bytes.fromhex("00000015 00000002 0005"), "b"
    assert said[24:40] == bytes.fromhex("00000014 00000008 0000000000000005"), "owner"
    assert said[40:64] == bytes.fromhex("00000b86 00000010") + ID.bytes
    assert bytes.fromhex("00000014 00000008 ffffffffffffff9c") in said, "a negative leg"
    assert bytes.fromhex("00000011 00000015") + b'[["2028-11-30", 100]]' in said, "lots as text"
    assert said.count(bytes.fromhex("00000014 ffffffff")) == 9, "seven legs, peer and terms are NULL"
    micros = (datetime(2026, 11, 23, 4, 5, 6, 789, UTC) - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 10**6
    assert said[-32:-16] == bytes.fromhex("000004a0 00000008") + round(micros).to_bytes(8, "big")
    assert said[-16:] == bytes.fromhex("00000014 00000008 00000000000004d2")


def test_the_hash_of_a_row_never_changes() -> None:
    assert row_digest(PLAIN).hex() == "b41a0831080d35bc45cd5230406c38557b80fae8ec4f291924b1ff988d66c3c1"
    assert name_of(PLAIN, row_digest(PLAIN)) == (5).to_bytes(8, "big") + ID.bytes + row_digest(PLAIN)[:8]


def test_any_other_value_gives_another_hash() -> None:
    others = {"b": 6, "owner": 6, "id": UUID(int=1), "op": 2, "lots": '[["2028-11-30", 101]]', "takes": "[]",
              "hash": b"", "at": datetime(2026, 11, 23, 4, 5, 6, 790, UTC), "ref": ID, "detail": "{}"}  # fmt: skip
    seen = {row_digest(PLAIN)}
    for name, _ in ROW:
        changed = PLAIN | {name: others[name] if name in others else (PLAIN[name] or 0) + 1}
        assert row_digest(changed) not in seen, name
        seen.add(row_digest(changed))
    assert row_digest(PLAIN | {"lots": None}) != row_digest(PLAIN | {"lots": ""}), "nothing is not an empty text"


def test_a_root_commits_to_every_column_and_to_the_root_before() -> None:
    seal = {name: 1 for name, _ in SEAL} | {
        "row_hash": bytes(32), "name_hash": bytes(32), "prev": bytes(32), "at": PLAIN["at"],
    }  # fmt: skip
    assert root_of(seal).hex() == "d6e59bf9fa36fc1d7e950c852daca75f807ccd34c5918b22b451657d0dcc2600"
    for name, _ in SEAL:
        other = {"at": datetime(2026, 1, 1, tzinfo=UTC)}.get(
            name, bytes([9]) * 32 if name.endswith(("hash", "prev")) else 2
        )
        assert root_of(seal | {name: other}) != root_of(seal), name
    assert set(LEGS) <= {name for name, _ in SEAL}
