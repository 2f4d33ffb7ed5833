"""What a small town offers: its campaigns, its coupon templates, and what it allows at its places."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from tests.support.oracle_state import CITY
from wallet import UsableWindow

#: points, months of validity, limits (measure, period, cap), points in the budget
CAMPAIGNS: dict[str, tuple[int, int, tuple[tuple[str, str, int], ...], int]] = {
    "short": (30, 1, (("count", "day", 3), ("points", "month", 120)), 5000),
    "long": (17, 24, (("count", "total", 6),), 5000),
    "week": (100, 2, (("points", "week", 300),), 5000),
    "small": (60, 12, (), 150),
    "bounded": (20, 12, (), 5000),
}
#: What happens at places: scope, action, measure, period, cap. They are asked for where they are counted.
PLACES: dict[str, tuple[tuple[str, str, str, str, int], ...]] = {
    "bounded": (("town", "earn", "count", "day", 2), ("campaign", "earn", "points", "week", 90)),
    "crowded": (("campaign", "issue", "count", "day", 4), ("town", "issue", "face_value_fen", "week", 2000),
                ("store", "redeem", "count", "day", 2), ("town", "redeem", "fen", "week", 900),
                ("merchant", "redeem", "face_value_fen", "month", 2500)),
}  # fmt: skip
#: Where the three live, as the house knows it.
HOMES = ("东街", "东街", None)
TEMPLATES: dict[str, dict[str, Any]] = {
    "bought": {"price_points": 25, "return_stock": True, "limits": (("issue", "points", "month", 100),)},
    "percent": {"kind": "discount", "pay_bp": 8750, "cap_fen": 1999,
                "limits": (("redeem", "face_value_fen", "day", 2500),)},
    "over": {"threshold_fen": 5000, "sponsor_bp": 3333, "price_points": 10, "grace_days": 3,
             "limits": (("issue", "count", "total", 4), ("redeem", "count", "week", 2))},
    "plain": {"sponsor_bp": 0, "fen_budget": None, "price_points": 3, "valid_days": 1, "merchants": (1,),
              "void_window_s": 3 * 86_400},
    "gift": {"price_points": 40, "claim_until": datetime(2027, 1, 1, tzinfo=CITY),
             "limits": (("issue", "count", "total", 3), ("issue", "points", "day", 30))},
    "lunch": {"windows": (UsableWindow(day="workday", from_minute=660, until_minute=810),
                          UsableWindow(weekdays=(6,), until_minute=720)), "stores": (11, 21)},
    "later": {"starts_after_days": 2, "valid_days": 1, "valid_from": date(2027, 2, 3)},
    "late": {"starts_after_days": 1, "valid_until": date(2027, 2, 28)},
    "shared": {"kind": "discount", "pay_bp": 5000, "cap_fen": 999, "platform_bp": 3333, "sponsor_bp": 3333,
               "stacking_group": "meal"},
    "pair": {"face_value_fen": 700, "stacking_group": "meal", "most_per_order": 2, "platform_bp": 1,
             "sponsor_bp": 2500},
    "crowded": {"kind": "discount", "pay_bp": 5000, "cap_fen": 999, "platform_bp": 2000, "sponsor_bp": 3000,
                "void_window_s": 3 * 86_400, "grace_days": 2},
    "last": {"face_value_fen": 777, "sponsor_bp": 5000, "stock": 3, "valid_days": 0, "return_stock": True},
}  # fmt: skip
