"""Types of arguments; argparse reports what they refuse."""

import argparse
from datetime import timedelta

_HIGHEST_PORT = 65_535
_MOST_WORKERS = 256


def port(text: str) -> int:
    """A TCP port."""
    return _within(text, 1, _HIGHEST_PORT)


def workers(text: str) -> int:
    """A number of worker processes."""
    return _within(text, 1, _MOST_WORKERS)


def hours(text: str) -> timedelta:
    """A time in hours, a fraction allowed."""
    try:
        return timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"not a number of hours: {text}") from None


def _within(text: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"not a number from {least} to {most}: {text}")
    return number
