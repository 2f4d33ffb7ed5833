"""How the counter shows things to people: personal data masked."""

from __future__ import annotations


def mask_name(name: str) -> str:
    """The first character and at most two stars: 张*, 欧**."""
    return name[:1] + "*" * min(max(len(name) - 1, 1), 2)


def mask_id_number(id_number: str) -> str:
    """The first and the last four characters: 3202**********1234."""
    if len(id_number) <= 8:
        return "*" * len(id_number)
    return id_number[:4] + "*" * (len(id_number) - 8) + id_number[-4:]


def mask_phone(phone: str) -> str:
    """The first three and the last four digits: 138****0000. A number too short for that shows its last two."""
    if len(phone) < 9:
        return "*" * max(len(phone) - 2, 0) + phone[-2:]
    return phone[:3] + "*" * (len(phone) - 7) + phone[-4:]
