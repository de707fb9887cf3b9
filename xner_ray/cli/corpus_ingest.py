"""`xner corpus ingest`: add archives, or all corpora of a config, to collections (`corpora/collection.py`)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from xner_ray.cli.console import check_argument, echo, report_user_errors, show, write_json
from xner_ray.cli.options import comma_list, language_code
from xner_ray.errors import UserError

_OPUS = re.compile(r"(?:OPUS-)?(?P<name>[^/]+)/(?P<version>[^/]+)/(?:moses|tmx|tsv)/[^/]+$")
_FORMATS = {".tmx": "tmx", ".tsv": "tsv"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")

Inputs = Annotated[
    list[str], typer.Argument(metavar="CONFIG [KEY=VALUE...] | ARCHIVE...", help="A YAML config, or files and URLs.")
]


def ingest(
    inputs: Inputs,
    source: Annotated[str, typer.Option("--source", metavar="CODE", help="Language of the source side.")] = "en",
    target: Annotated[
        str | None, typer.Option("--target", metavar="CODE", help="Language of the target side.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the collection. With a config: of one collection per language."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME[/VERSION]", help="Name of a single archive. Default: from its path."),
    ] = None,
    domain: Annotated[str, typer.Option("--domain", metavar="NAME", help="Domain of the archives.")] = "general",
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="moses, tmx, tsv or wikimatrix. Default: from the file name."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAME,...",
            help="Columns of TSV files: source, target (or language codes), id, score, skip. Default: recognized.",
        ),
    ] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Minimum score of a pair.")] = None,
    max_ratio: Annotated[
        float,
        typer.Option(
            "--max-ratio",
            help="Maximum ratio of the longer side to the shorter, in bytes (length_ratio).",
        ),
    ] = 3.0,
    keep_identical: Annotated[bool, typer.Option("--keep-identical", help="Keep pairs with two equal sides.")] = False,
    language_score: Annotated[
        float | None,
        typer.Option("--language-score", metavar="P", help="Minimum probability of the language of each side."),
    ] = None,
    shard_rows: Annotated[int, typer.Option("--shard-rows", metavar="N", help="Pairs per shard.")] = 20_000,
    ray: Annotated[
        bool, typer.Option("--ray", help="Read in parallel on the Ray cluster, or on the cores of this machine.")
    ] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Also write the counts to this file.")
    ] = None,
) -> None:
    """Add corpora to a collection of shards without duplicates. A new version of a corpus adds only its new pairs.

    A config has its own languages and filters (key `ingest`). Its collections are OUT/corpus/LANGUAGE.

    Example: [cyan]xner corpus ingest OpenSubtitles/v2018/moses/de-en.txt.zip --target de --out /big/en-de[/]
    """
    with report_user_errors(resumable=True):
        if inputs[0].endswith((".yaml", ".yml")):
            collections, settings = _of_config(Path(inputs[0]), inputs[1:], out)
        else:
            if target is None or out is None:
                raise UserError(
                    "archives need --target and --out", key="--target", remedy="e.g. --target de --out DIR"
                )
            if name and len(inputs) > 1:
                raise UserError("--name is for a single archive", key="--name", remedy="ingest them one by one")
            rules: dict[str, Any] = {
                "drop_identical": not keep_identical,
                "max_length_ratio": max_ratio,
                "min_language_score": language_score,
            }
            keys = {"max_pairs_per_language": None, "shard_rows": shard_rows, "clean": rules}
            for option, text in (("--name", name), ("--domain", domain)):
                check_argument(text or "", option)
            items = [_corpus(path, name, format, domain, min_score, comma_list(columns)) for path in inputs]
            languages = (language_code(source, "--source"), language_code(target, "--target"))
            collections, settings = {out: [_source(x, label, languages, keys) for x, label in items]}, None
        results = _add_all(collections, settings, ray)
        if json_out:
            write_json(json_out, results)


def _of_config(path: Path, overrides: Sequence[str], out: Path | None) -> tuple[dict[Path, list], Any]:
    from xner_ray.config.load import load_config
    from xner_ray.corpora.readers.corpus_reader import sources_of

    config = load_config(path, overrides)
    if config.sample:
        from xner_ray.workflows.run import run

        run(config, path, stages=["sample"], log=echo)
    root = out or Path(config.out) / "corpus"
    return {root / language: sources_of(config, language) for language in config.languages}, config.ray


def _corpus(
    path: str, name: str | None, format: str | None, domain: str, min_score: float | None, columns: list[str] | None
) -> tuple[Any, str]:
    """The corpus of an archive, and its label: NAME/VERSION as given, as in OPUS's paths, or the file's name."""
    from pydantic import ValidationError

    from xner_ray.config import CorpusConfig

    found = _OPUS.search(path)
    label = name or (f"{found['name']}/{found['version']}" if found else Path(path).name.split(".")[0])
    kind = format or _format_of(path)
    keys: dict[str, Any] = {"name": label.split("/")[0], "domain": domain, "format": kind, "path": path}
    keys |= {"min_score": min_score, "columns": columns}
    try:
        return CorpusConfig.model_validate(keys), label
    except ValidationError as e:
        loc = e.errors()[0]["loc"] or ("columns" if columns else "format",)  # a contradiction of keys has no place
        key = f"--{str(loc[0]).replace('_', '-')}"
        remedy = (
            "give --format moses, tmx, tsv or wikimatrix" if key == "--format" else "see xner corpus ingest --help"
        )
        raise UserError(e.errors()[0]["msg"], file=path, key=key, remedy=remedy) from None


def _format_of(path: str) -> str | None:
    """The format by the name of a file, e.g. `x.tmx.xz`, `x.tmx.zip`, `de-en.txt.zip`; None: not known."""
    name = Path(path)
    while name.suffix in _COMPRESSED:
        name = name.with_suffix("")
    return _FORMATS.get(name.suffix) or ("moses" if path.endswith(".zip") else None)


def _source(corpus: Any, label: str, languages: tuple[str, str], keys: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from xner_ray.config import IngestConfig
    from xner_ray.corpora.readers.corpus_reader import Source

    try:
        return Source(corpus, label, corpus.path, None, languages, IngestConfig.model_validate(keys))
    except ValidationError as e:
        key = str(e.errors()[0]["loc"][-1])
        raise UserError(e.errors()[0]["msg"], key=key, remedy="see xner corpus ingest --help") from None


def _add_all(collections: dict[Path, list], settings: Any, ray: bool) -> dict[str, Any]:
    """Add to each collection, and print the counts."""
    from xner_ray.corpora.collection import Collection
    from xner_ray.corpora.parallelism import Parallelism
    from xner_ray.corpora.repair import repair
    from xner_ray.pipeline.executors import Executor, InProcess, RayExecutor

    executor: Executor = InProcess()
    if ray:
        from xner_ray.config import RayConfig

        executor = RayExecutor(settings or RayConfig(), Path.cwd(), echo)

    limits = Parallelism.of(list(collections.values()))
    mapper: Callable = executor.map
    read_mapper = partial(mapper, max_running=limits.tasks)

    def add(root: Path) -> tuple[list[Path], Any, float]:
        began = time.monotonic()
        with _bar(hidden=ray) as progress:
            repaired = repair(Collection(root), collections[root], mapper, read_mapper)
            report = Collection(root).add(collections[root], mapper, progress, read_mapper)
        return repaired, report, time.monotonic() - began

    results: dict[str, Any] = {}
    added = executor.concurrently(add, list(collections), limits.languages)
    for root, (repaired, report, seconds) in zip(collections, added, strict=True):
        for file in repaired:
            echo(f"{file} was gone or damaged; it was made again", "yellow")
        if report is None:
            echo(f"{root}: nothing new", "green")
            continue
        show(_table(str(root), report))
        for name, count in report.corpora.items():
            for note in count.notes:
                echo(f"{name}: {note}", "yellow" if note.startswith("warning") else "dim")
        echo(f"{sum(c.read for c in report.corpora.values()) / seconds:,.0f} lines per second", "dim")
        corpora = {name: vars(count) for name, count in report.corpora.items()}
        results[str(root)] = {"corpora": corpora, "rows": report.rows, "seconds": round(seconds, 2)}
    return results


@contextmanager
def _bar(hidden: bool):
    """A progress bar of lines per corpus. Hidden without a terminal, or if other processes read."""
    from rich.progress import Progress

    from xner_ray.cli.safe_console import SafeConsole, text_column

    console = SafeConsole(stderr=True)
    with Progress(
        text_column("{task.description}"), text_column("{task.completed:,.0f} lines"), console=console, transient=True,
        disable=hidden or not console.is_terminal,
    ) as bar:  # fmt: skip
        tasks: dict[str, Any] = {}

        def progress(label: str, lines: int) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=None)
            bar.update(tasks[label], completed=lines)

        yield None if hidden else progress


def _table(title: str, report: Any) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("corpus", no_wrap=True)
    for column in ("read", "new", "duplicates", "known", "dropped", "quarantined", "below score"):
        table.add_column(column, justify="right")
    for name, c in report.corpora.items():
        cells = (c.read, c.rows, c.duplicates, c.known, c.num_dropped, c.num_quarantined, c.below_score)
        table.add_row(name, *(f"{n:,}" for n in cells))
    return table
