"""What the session and the URL hold of a view, and the notices of a page.

A view setting has one key, the same in the session and in the URL, so that a link reopens the
view. A value in the URL that a page cannot use falls back to the default and leaves a notice.
"""

from __future__ import annotations

import re

import numpy as np


def escape_markdown(text: str) -> str:
    """Escape somebody's words for where Streamlit reads Markdown: no link, no foreign picture."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:])", r"\\\1", text)


def format_duration(seconds: float) -> str:
    """Say a time as people do, no more exactly than it is known."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 60:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 600) * 10, 60)
    return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"


def format_attribute(name: str) -> str:
    """Return an attribute's name as people read it."""
    return name.replace("_", " ")


def format_number(value: float) -> str:
    """Write a number with three significant digits."""
    digits = max(0, 2 - int(np.floor(np.log10(value)))) if value else 0
    return (
        f"{value:,.{digits}f}"
        if value < 1000
        else f"{round(value, -len(str(int(value))) + 3):,.0f}"
    )
