"""`xner corpus list` and `xner corpus fetch`: the corpora of OPUS, and their download."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xner_ray.cli.console import echo, report_user_errors, show, show_json
from xner_ray.cli.options import command_group, language_code, language_list
from xner_ray.errors import UserError

if TYPE_CHECKING:
    from xner_ray.corpora.opus.catalog import Archive, Catalog
    from xner_ray.corpora.opus.download import HttpClient
    from xner_ray.corpora.opus.fetch import FetchItem

GB = 1_000_000_000
FIRST_PAUSE = 1.0  # seconds before the first retry; tests set it lower

Source = Annotated[str, typer.Option("--source", metavar="CODE", help="Source language, ISO 639-1.")]
Versions = Annotated[bool, typer.Option("--versions", help="List all versions instead of the latest.")]
Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="moses or tmx.")]
Which = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="WHICH",
        help="package: index of the installed opustools. api: online index. auto: api if it answers, else package.",
    ),
]
Api = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", envvar="XNER_OPUS_API", help="URL of the online index.", show_default=False),
]

PrivateHosts = Annotated[
    bool,
    typer.Option(
        "--allow-private-hosts",
        envvar="XNER_ALLOW_PRIVATE_HOSTS",
        help="Connect to private and loopback addresses too. In a config: `ingest.allow_private_hosts`.",
    ),
]

corpus = command_group(
    "List, fetch and ingest parallel corpora.\n\nExample: [cyan]xner corpus list --source en --target de[/]"
)


@corpus.command("list")
def list_corpora(
    target: Annotated[str, typer.Option("--target", metavar="CODE,...", help="Target languages.", show_default=False)],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names of corpora. Default: all.", show_default=False)
    ] = None,
    source: Source = "en",
    versions: Versions = False,
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="NAME", help="Only corpora of this domain.")
    ] = None,
    format: Format = "moses",
    catalog: Which = "auto",
    api: Api = None,
    private: PrivateHosts = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table. Sizes are in bytes.")
    ] = False,
) -> None:
    """List the OPUS corpora of language pairs: version, number of pairs, size of the archive, domain.

    Example: [cyan]xner corpus list --source en --target de,zh --domain news[/]
    """
    from xner_ray.cli.corpus_tables import archives_table
    from xner_ray.corpora.opus.catalog import newest_versions

    source = language_code(source, "--source")
    opened = _catalog(catalog or "auto", api, format, private)
    wanted = {x.lower() for x in names or []}
    found: list[Archive] = []
    missing: dict[str, list[str]] = {}
    for code in _languages(target):
        archives = opened.archives(source, code, format)
        missing[code] = [x for x in names or _paper() if x.lower() not in {y.corpus.lower() for y in archives}]
        for name in missing[code] if names else ():
            opened.find(name, source, code, format)  # raises for a name that OPUS does not have at all
        archives = [x for x in archives if not wanted or x.corpus.lower() in wanted]
        chosen = archives if versions else newest_versions(archives)
        found += [x for x in chosen if domain in (None, x.domain)]
    found.sort(key=lambda x: -(x.pairs or 0))
    if as_json:
        tree = {"catalog": opened.name, "corpora": [_row(x) for x in found], "missing": missing}
        show_json(tree, indent=1)
    else:
        show(archives_table(found))
    _print_catalog(opened)
    _print_missing(missing, source, bool(names))


@corpus.command("fetch")
def fetch_corpora(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME[/VERSION]", help="Corpora. Default version: the latest.", show_default=False),
    ] = None,
    source: Source = "en",
    target: Annotated[
        str | None, typer.Option("--target", metavar="CODE,...", help="Target languages.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the archives. Default: `opus.folder` of the config, else opus.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="CONFIG",
            help="Fetch the corpora of this config. KEY=VALUE overrides a key.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Fetch more than --limit, and archives of unknown size.")
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            "--limit",
            metavar="GB",
            min=0,
            envvar="XNER_FETCH_LIMIT",
            help="GB above which --yes is needed. Default: 1.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the archives, and fetch nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Fetch archives again that exist already.")] = False,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            metavar="URL",
            envvar="XNER_OPUS_URL",
            help="URL of a mirror: the part before NAME/VERSION/moses/FILE.",
            show_default=False,
        ),
    ] = None,
    format: Format = "moses",
    catalog: Which = None,
    api: Api = None,
    private: PrivateHosts = False,
) -> None:
    """Fetch archives of OPUS, check them, and write URL, ETag, sha256 and license beside each.

    The total size is printed first. A stopped download continues.

    Example: [cyan]xner corpus fetch TED2013 Europarl/v8 --target de --out data/opus[/]
    """
    from xner_ray.corpora.opus.archive_selection import archives_by_name, archives_of_config
    from xner_ray.corpora.opus.download import HttpClient, RetryPolicy

    with report_user_errors(resumable=True):
        overrides = [x for x in names or [] if "=" in x]
        chosen = [x for x in names or [] if "=" not in x]
        if config:
            from xner_ray.config.load import load_config

            loaded = load_config(config, overrides)
            out = out or Path(loaded.fill(loaded.opus.folder))
            base_url = base_url or loaded.opus.base_url
            limit = loaded.opus.limit_gb if limit is None else limit
            private = private or loaded.ingest.allow_private_hosts
            opened = _catalog(catalog or loaded.opus.catalog, api or loaded.opus.api, format, private)
            archives = archives_of_config(loaded, opened, chosen, _languages(target), echo)
        else:
            if overrides or not chosen or not target:
                raise UserError("nothing to fetch", remedy="give NAME[/VERSION] and --target CODE, or --config CONFIG")
            opened = _catalog(catalog or "auto", api, format, private)
            source = language_code(source, "--source")
            archives = archives_by_name(opened, chosen, source, _languages(target), format, base_url, echo)
        _print_catalog(opened)
        with HttpClient(RetryPolicy(first_pause=FIRST_PAUSE), private) as http:
            limit = 1.0 if limit is None else limit
            _fetch(archives, out or Path("opus"), base_url, http, limit, yes, dry_run, again, opened.name)


def _fetch(
    archives: Sequence[Archive],
    folder: Path,
    base_url: str | None,
    http: HttpClient,
    limit: float,
    yes: bool,
    dry_run: bool,
    again: bool,
    catalog: str,
) -> None:
    from rich.filesize import decimal

    from xner_ray.cli.corpus_tables import Lines, bars, items_table
    from xner_ray.corpora.opus.fetch import check_disk_space, fetch_archive, plan_fetch

    failed: list[str] = []
    items: list[FetchItem] = []
    for archive in archives:
        with _collecting(failed):
            items.append(plan_fetch(archive, folder, base_url, http, Lines(), again))
    left = sum(x.remaining for x in items)
    show(items_table(items))
    echo(f"to fetch: {decimal(left)}, into {folder}")
    if dry_run:
        return _end(failed)
    unknown = ", ".join(str(x.archive) for x in items if x.size is None)
    if unknown and not yes:
        raise UserError(f"the size of these archives is unknown: {unknown}", remedy="add --yes to fetch them")
    if left > limit * GB and not yes:
        raise UserError(
            f"{decimal(left)} is more than the limit of {limit:g} GB", remedy="add --yes, or a higher --limit GB"
        )
    check_disk_space(items, folder)
    with bars(items) as watching:
        for item in items:
            with _collecting(failed):
                receipt = fetch_archive(item, http, watching, catalog)
                watching.done(item, receipt)
    return _end(failed)


@contextmanager
def _collecting(failed: list[str]):
    """Collect the error of one archive, so that the others are fetched."""
    try:
        yield
    except UserError as e:
        failed.append(str(e))
        echo(f"error: {e}", "red")


def _end(failed: list[str]) -> None:
    if failed:
        raise UserError(f"{len(failed)} could not be fetched, see above", remedy="the others are there; run it again")


def _catalog(choice: str, api: str | None, format: str, allow_private_hosts: bool) -> Catalog:
    from xner_ray.corpora.opus.catalog import open_catalog

    if choice not in ("auto", "package", "api"):
        raise UserError(f"no such catalog: {choice}", key="--catalog", remedy="auto, package or api")
    if format not in ("moses", "tmx"):
        raise UserError(f"OPUS has no format `{format}` that could be read", key="--format", remedy="moses or tmx")
    return open_catalog(choice, api, allow_private_hosts=allow_private_hosts)  # type: ignore[arg-type]


def _languages(text: str | None) -> list[str]:
    return language_list(text, "--target") or []


def _paper() -> Sequence[str]:
    from xner_ray.corpora.opus.catalog import PAPER

    return PAPER


def _row(archive: Archive) -> dict[str, Any]:
    keys = ("corpus", "version", "source", "target", "pairs", "size", "domain", "format", "url", "latest")
    return {x: getattr(archive, x) for x in keys}


def _print_catalog(catalog: Catalog) -> None:
    echo(f"catalog: {catalog.name}" + (f" ({catalog.note})" if catalog.note else ""), "dim")


def _print_missing(missing: dict[str, list[str]], source: str, requested: bool) -> None:
    from xner_ray.corpora.opus.resolve import missing_message

    for code, lacks in missing.items():
        message = "; ".join(missing_message(x, f"{source}-{code}") for x in lacks)
        if message:
            echo(f"warning: {message}" if requested else f"of the paper's corpora: {message}", "yellow")
