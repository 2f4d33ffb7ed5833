"""Which tests judge which module, and which mutants are no mutants: they do what the original does.

Stages, from the quickest: `unit` are tests without engines, `chapters` are `tests.support.chapters` on a database, and
`whole` is pytest with everything. A mutant that lives through one stage meets the next.
"""

from __future__ import annotations

from typing import NamedTuple


class Stage(NamedTuple):
    kind: str
    tests: tuple[str, ...] = ()


def unit(*names: str) -> Stage:
    return Stage("unit", tuple(f"tests/unit/test_{name}.py" for name in names))


def whole(*names: str) -> Stage:
    return Stage("whole", tuple(f"tests/{name}.py" for name in names))


CHAPTERS = Stage("chapters")
IDS, COUNTER = "integration/test_vault_ids", "integration/test_vault_counter"
OPERATIONS = ("integration/test_vault_points", "integration/test_vault_coupons")
BUDGETS = ("integration/test_vault_cells", "integration/test_vault_counters", "integration/test_opening_rush")
STRAIN, CONCURRENCY = "concurrency/test_lanes_under_strain", "concurrency/test_vault_concurrency"

#: By module of `wallet`.
STAGES: dict[str, tuple[Stage, ...]] = {
    "audit": (whole("integration/test_check_ledger"),),
    "batch_size": (unit("batch_size"),),
    "chain": (unit("seals"), whole("integration/test_seals")),
    "coupons": (CHAPTERS, whole(COUNTER, IDS)),
    "credentials": (unit("credential_digits"),),
    "due": (whole("integration/test_expiry"),),
    "errors": (unit("statuses", "http_of_refusals", "web_errors"), CHAPTERS),
    "fair_queue": (unit("fair_queue", "lanes", "lanes_in_trouble"), whole(STRAIN)),
    "folds": (whole("integration/test_folds"),),
    "items": (unit("items"), CHAPTERS, whole(IDS, COUNTER)),
    "lanes": (unit("lanes", "lanes_in_trouble", "posting"), CHAPTERS, whole(STRAIN, CONCURRENCY)),
    "periods": (whole("integration/test_vault_months"),),
    "points": (CHAPTERS, whole(IDS)),
    "posting": (unit("posting"), CHAPTERS, whole(*OPERATIONS, CONCURRENCY, *BUDGETS)),
    "proofs": (whole("integration/test_vault_canaries"),),
    "queries": (whole(*OPERATIONS, COUNTER),),
    "seals": (unit("seals"), whole("integration/test_seals")),
    "setup": (
        CHAPTERS,
        whole(
            *OPERATIONS,
            COUNTER,
            "integration/test_vault_attacks",
            "integration/test_budget_watch",
            "integration/test_vault_clock",
            "integration/test_vault_keeping",
        ),
    ),
    "statements": (whole("integration/test_statements"),),
    "statuses": (unit("statuses", "http_of_refusals"), CHAPTERS),
    "stream": (whole("integration/test_value_stream"),),
    "vault": (CHAPTERS, whole(*OPERATIONS)),
}
#: The modules through which value moves; `--all` takes the others as well. How many items go together (`batch_size`)
#: changes when something is done and never what.
OF_VALUE = (
    "coupons", "credentials", "errors", "fair_queue", "items", "lanes", "points", "posting", "seals", "setup",
    "statuses", "vault",
)  # fmt: skip

#: By name of the mutant: why nobody can tell it from the original.
_BY = "intent_hash(f'merchant:{acceptor.merchant_id}/terminal:{acceptor.terminal_id}', 'redeem', "
EQUIVALENT: dict[str, str] = {
    f"coupons:_redemption: {_BY}redemption_id, order_amount_fen, *spent) -> {_BY}order_amount_fen, *spent)": (
        "the redemption's id is the row's key: two requests of one id never differ in it"
    ),
    "credentials:luhn_digit: value > 9 -> value >= 9": "a doubled digit is even, never 9",
    "credentials:code_is_current: step + shift -> step - shift": "the shifts are -1, 0 and 1, whichever way round",
    "items:intent_hash: 1 -> 2": "the version of the hash: any number serves as long as all use it",
    "lanes:Lanes._drain_s: 0.0 -> 1.0": "who is told to come again is told a second at least",
    "lanes:Lanes._connected: return False -> return None": "nobody asks more than whether it is so",
    "lanes:Lanes._one_by_one: time.monotonic() > until -> time.monotonic() >= until": "no clock stops at that instant",
    "items:Item: 1 -> 2": "an item's number is set when it is sent",
    "posting:Poster.open_counter: 1 -> 2": "any number below zero that nobody had before",
    "posting:Poster.open_counter: 62 -> 63": "any number below zero that nobody had before",
}
