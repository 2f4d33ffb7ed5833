"""The 18 characters of a Chinese ID number (公民身份号码, GB 11643-1999) and of the cards that share its form.

    RRRRRR YYYYMMDD SSS C      RR… region, or 9 + province + nationality for a foreigner's permanent residence card
                               C   ISO 7064 MOD 11-2 over the first 17, with X for ten

Residence permits of Hong Kong (81), Macao (82) and Taiwan (83) residents are ID numbers too. Regions are checked by
province only: counties come and go, and a number keeps the region of its birth.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_SHAPE: Final = re.compile(r"[1-9][0-9]{16}[0-9X]")
_WEIGHTS: Final = tuple(pow(2, 17 - place, 11) for place in range(17))
_CHECK: Final = "10X98765432"
_EARLIEST_YEAR: Final = 1900
_ALLOTTED: Final = (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66))
_PROVINCES: Final = frozenset(str(code) for group in (*_ALLOTTED, (71, 81, 82, 83)) for code in group)


def check_character(first_17: str) -> str:
    """The 18th character of 17 digits: ISO 7064 MOD 11-2."""
    if len(first_17) != 17 or not (first_17.isascii() and first_17.isdigit()):
        raise ValueError("17 digits are wanted")
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]


def birth_date(id_number: str) -> date:
    """The day of birth written in the number; `ValueError` when there is no such day or the shape is wrong."""
    if _SHAPE.fullmatch(id_number) is None:
        raise ValueError("not an ID number")
    return date(int(id_number[6:10]), int(id_number[10:12]), int(id_number[12:14]))


def is_valid(id_number: str, *, today: date) -> bool:
    """Whether shape, region, day of birth (1900 to `today`) and check character are right; x must be X."""
    try:
        born = birth_date(id_number)
    except ValueError:
        return False
    province = id_number[1:3] if id_number[0] == "9" else id_number[:2]
    return (
        province in _PROVINCES
        and born.year >= _EARLIEST_YEAR
        and born <= today
        and check_character(id_number[:17]) == id_number[17]
    )
