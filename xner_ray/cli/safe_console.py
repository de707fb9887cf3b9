"""The console that all tables and messages of the commands pass. Text is never markup, emoji code or a control sequence.

Styles are given as `rich.text.Text`, or as the style of a column.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.segment import Segment
from rich.text import Text

from xner_ray.observability.safe_text import safe_text


class SafeConsole(Console):
    """A rich console for text of other people.

    Args:
        stderr: write to standard error instead of standard output.
    """

    def __init__(self, stderr: bool = False):
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text. Control characters are escaped before the width of a table's column is measured."""
        return super().render_str(safe_text(text), **options)

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Render to segments, without control characters in their text."""
        for segment in super().render(*args, **options):
            yield segment if segment.control else Segment(safe_text(segment.text), segment.style)


def text_column(format: str) -> TextColumn:
    """A column of a progress bar, whose text is no markup."""
    return TextColumn(format, markup=False)
