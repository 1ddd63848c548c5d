"""Formatting of text on pages: escaped Markdown, durations, numbers, attribute names."""

from __future__ import annotations

import re

import numpy as np


def escape_markdown(text: str) -> str:
    """Escape Markdown in a user's text, so that it shows no link and no external image."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:])", r"\\\1", text)


def format_duration(seconds: float) -> str:
    """Format a duration, rounded to the precision of an estimate."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 60:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 600) * 10, 60)
    return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"


def format_share(share: float) -> str:
    """Format a share in [0, 1] in percent: "69%"; "<1%" where a share would be rounded to 0."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def format_count(count: int, noun: str) -> str:
    """Format a number of things: "1 epoch", "20 epochs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_number(value: float) -> str:
    """Format a number with three significant digits."""
    digits = max(0, 2 - int(np.floor(np.log10(value)))) if value else 0
    return (
        f"{value:,.{digits}f}"
        if value < 1000
        else f"{round(value, -len(str(int(value))) + 3):,.0f}"
    )
