"""Steps of the demo as they are told: numbered, timed, and held against what they must show."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console

T = TypeVar("T")


class WalkFailed(RuntimeError):
    """A step did not do what it promises; says what was seen and what was expected."""


@dataclass
class Narrator:
    """Prints steps with their time."""

    console: Console
    step: int = 0

    async def tell(self, what: str, doing: Awaitable[T]) -> T:
        """Runs one step and prints it."""
        self.step += 1
        started = time.perf_counter()
        result = await doing
        self.console.print(f"  [dim]{self.step:2}[/] {what}  [green]{(time.perf_counter() - started) * 1000:.0f} ms[/]")
        return result

    def note(self, text: str) -> None:
        """Prints a line below a step."""
        self.console.print(f"      [cyan]{text}[/]", soft_wrap=True)

    def chapter(self, title: str) -> None:
        """Prints the title of what follows."""
        self.console.rule(title)


def expect(seen: object, expected: object, what: str) -> None:
    """Raises `WalkFailed` unless a step showed what it must."""
    if seen != expected:
        raise WalkFailed(f"{what}: saw {seen!r}, expected {expected!r}")
