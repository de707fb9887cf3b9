"""Tables of archives, and the progress of downloads: bars on a terminal, else one line for each finished file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from xner_ray.cli.console import echo
from xner_ray.cli.safe_console import SafeConsole, text_column
from xner_ray.corpora.opus.catalog import Archive
from xner_ray.corpora.opus.download import ProgressListener
from xner_ray.corpora.opus.fetch import FetchItem
from xner_ray.observability.safe_text import safe_text


class Lines(ProgressListener):
    """A line for each file that is done, and for what went otherwise."""

    def line(self, text: str, style: str) -> None:
        echo(text, style)

    def on_warning(self, text: str) -> None:
        self.line(text, "yellow")

    def done(self, item: FetchItem, receipt: dict[str, Any]) -> None:
        license = receipt.get("license") or {}
        named = license.get("name") or ("see " + license["file"] if license else "not in the archive")
        text = f"{item.path}: {decimal(receipt['bytes'])}, sha256 {receipt['sha256'][:12]}..., license: {named}"
        self.line(text, "green")


class Bars(Lines):
    """A bar for the file at hand, and one for all of them where there are several."""

    def __init__(self, progress: Progress, items: Sequence[FetchItem]):
        self._progress = progress
        self._all = progress.add_task("all", total=sum(x.remaining for x in items), visible=len(items) > 1)
        self._task = progress.add_task("", total=None, visible=False)
        self._last: int | None = None
        self._fetching = False

    def line(self, text: str, style: str) -> None:
        self._progress.console.print(Text(safe_text(text), style), soft_wrap=True)  # above the bars, not into them

    def on_start(self, name: str, step: str) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"{step} {safe_text(name)}", total=None)
        self._last, self._fetching = None, step == "fetching"

    def on_progress(self, done: int, total: int | None) -> None:
        if self._last is None or done < self._last:  # what an earlier run fetched counts as neither progress nor speed
            self._progress.reset(self._task, completed=done, total=total)
        else:
            self._progress.update(self._task, completed=done, total=total)
            if self._fetching:
                self._progress.advance(self._all, done - self._last)
        self._last = done


@contextmanager
def bars(items: Sequence[FetchItem]) -> Iterator[Lines]:
    """The listener for the download of these archives: bars on a terminal, else lines."""
    console = SafeConsole(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (text_column("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield Bars(progress, items)


def archives_table(archives: Sequence[Archive]) -> Table:
    """The archives of OPUS. `?`: the index does not know it."""
    table = _columns("corpus", "version", "target", "pairs", "size", "domain")
    for x in archives:
        table.add_row(x.corpus, x.version, x.target, _count(x.pairs), _bytes(x.size), x.domain or "")
    return table


def items_table(items: Sequence[FetchItem]) -> Table:
    """The archives to fetch, and how much of each exists here."""
    table = _columns("corpus", "version", "target", "pairs", "size", "here")
    for x in items:
        here = f"{x.received / x.size:.0%}" if x.state == "partial" and x.size else x.state
        archive = x.archive
        table.add_row(archive.corpus, archive.version, archive.target, _count(archive.pairs), _bytes(x.size), here)
    return table


def _columns(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in ("pairs", "size") else "left", no_wrap=True)
    return table


def _count(pairs: int | None) -> str:
    return f"{pairs:,}" if pairs else "?"


def _bytes(size: int | None) -> str:
    return decimal(size) if size is not None else "?"
