"""Time that only a test moves."""

from __future__ import annotations


class Clock:
    """A clock in seconds, and a sleep that takes no time but on this clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        """Let the time pass, and keep how much it was."""
        self.waits_s.append(wait_s)
        self.now_s += wait_s
