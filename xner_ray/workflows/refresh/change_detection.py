"""New and changed corpora: the catalog, the servers and the files on disk are compared with the collections.

An archive has changed if its server reports another length, ETag or date than its receipt, whatever its version is. This module
writes nothing, so a dry run may check everything. It sends no request for archives that are not on disk during a dry run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from xner_ray.config import Config
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.opus.catalog import Archive, open_catalog
from xner_ray.corpora.opus.download import HttpClient, ProgressListener
from xner_ray.corpora.opus.fetch import FetchItem, plan_fetch, read_receipt
from xner_ray.corpora.opus.http_responses import RemoteFile
from xner_ray.corpora.opus.resolve import Log, ResolvedCorpus, find_archives, with_archive_paths
from xner_ray.corpora.readers.corpus_reader import sources_of
from xner_ray.errors import UserError
from xner_ray.pipeline.stages.ingest import collection_folder

State = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True)
class CorpusState:
    """A corpus in one language, compared with the collection of the language.

    Attributes:
        language: the target language.
        name: its name in the config.
        source: NAME/VERSION at OPUS, or its path.
        state: `new`, `changed` (its archive or its config changed), or `unchanged` (the collection has it).
        pairs: pairs according to the catalog; None if unknown.
        lines_read: lines that the collection has read of its present version.
        item: its archive; None for a corpus that is not from OPUS.
    """

    language: str
    name: str
    source: str
    state: State
    pairs: int | None
    lines_read: int
    item: FetchItem | None = None

    @property
    def size(self) -> int:
        """Bytes to fetch, as far as they are known."""
        return self.item.remaining if self.item else 0

    @property
    def lines_to_read(self) -> int | None:
        """Lines that ingest will read; None if unknown."""
        return 0 if self.state == "unchanged" else self.pairs

    @property
    def new_pairs(self) -> int | None:
        """Pairs by which the corpus grew, if no pair was replaced; None if unknown."""
        if self.state == "unchanged":
            return 0
        return None if self.pairs is None else max(self.pairs - self.lines_read, 0)

    def to_json(self) -> dict[str, Any]:
        """The corpus for plan and report."""
        return {
            "language": self.language,
            "name": self.name,
            "source": self.source,
            "state": self.state,
            "pairs": self.pairs,
            "lines_read": self.lines_read,
            "size": self.size,
        }


@dataclass(frozen=True)
class DetectedChanges:
    """The corpora of a config and their states.

    Attributes:
        config: the config of the refresh.
        corpora: each corpus in each language.
        catalog: the name of the catalog; None if the config has no OPUS corpus.
        archives: the OPUS corpora with their archives.
    """

    config: Config
    corpora: list[CorpusState]
    catalog: str | None
    archives: list[ResolvedCorpus]

    @property
    def items(self) -> list[FetchItem]:
        """The archives to fetch, or to check if another program put them there; each once."""
        by_path = {c.item.path: c.item for c in self.corpora if c.item and c.item.state != "fetched"}
        return list(by_path.values())

    def resolved(self, log: Log) -> Config:
        """The config with the paths of all archives, after they were fetched."""
        return with_archive_paths(self.config, self.archives, self.catalog, log) if self.catalog else self.config


def detect_changes(
    config: Config, http: HttpClient, listener: ProgressListener, log: Log, dry_run: bool = False
) -> DetectedChanges:
    """Compare the corpora of a config with the catalog, the servers and the collections.

    Args:
        config: with `ingest.incremental`.
        http: sends the requests.
        listener: receives the progress of requests.
        log: receives warnings.
        dry_run: do not fail if a server cannot be reached; its archives then count as unchanged.

    Raises:
        UserError: no catalog, a corpus that OPUS does not have, an archive that its server does not have, or no answer.
    """
    catalog, archives, with_paths = None, [], config
    if any(x.opus for x in config.corpora):
        opened = open_catalog(
            config.opus.catalog, config.opus.api, allow_private_hosts=config.ingest.allow_private_hosts
        )
        catalog, archives = opened.name, find_archives(config, opened, log)
        with_paths = with_archive_paths(config, archives, catalog, lambda line: None)
    distinct = dict.fromkeys(x.archive for x in archives)
    items = {archive: _fetch_item(config, archive, http, listener, log, dry_run=dry_run) for archive in distinct}
    corpora = []
    for language in config.languages:
        of_language = {x.corpus.name: items[x.archive] for x in archives if x.language == language}
        corpora += _corpora_of(with_paths, language, of_language)
    return DetectedChanges(config, corpora, catalog, archives)


def _corpora_of(config: Config, language: str, items: dict[str, FetchItem]) -> list[CorpusState]:
    """The corpora of a language. `config`: with all paths; `items`: the archives by corpus name."""
    collection, sources = Collection(collection_folder(config.out, language)), sources_of(config, language)
    versions = collection.versions()
    read = {label: count.read for report in collection.reports() for label, count in report.corpora.items()}
    changed = {source.corpus.name for source in collection.new_sources(sources)}
    corpora = []
    for source in sources:
        name, item = source.corpus.name, items.get(source.corpus.name)
        is_changed = name in changed or (item is not None and item.state in ("absent", "partial"))
        state: State = "new" if name not in versions else "changed" if is_changed else "unchanged"
        address, pairs = (item.archive.name, item.archive.pairs) if item else (source.path, None)
        lines_read = read[versions[name].label] if name in versions else 0
        corpora.append(CorpusState(language, name, address, state, pairs, lines_read, item))
    return corpora


def _fetch_item(
    config: Config, archive: Archive, http: HttpClient, listener: ProgressListener, log: Log, *, dry_run: bool
) -> FetchItem:
    """What is on disk of an archive. A file that the server has replaced counts as absent."""
    folder, base_url = Path(config.fill(config.opus.folder)), config.opus.base_url
    absent = FetchItem(archive, archive.address(base_url), folder / archive.path, archive.size, 0, "absent")
    if not absent.path.exists():
        return absent if dry_run else plan_fetch(archive, folder, base_url, http, listener)
    try:
        # A part file beside the archive is left from an interrupted replacement.
        again = absent.part.exists() or _has_changed(_recorded_file(absent), http.head(absent.url, listener))
        return plan_fetch(archive, folder, base_url, http, listener, again)
    except UserError as e:
        if not dry_run:
            raise
        log(f"[opus] {archive}: cannot check whether it changed, {e.problem}")
        size = absent.path.stat().st_size
        return replace(absent, size=size, received=size, state="fetched")


def _recorded_file(item: FetchItem) -> RemoteFile:
    """The server's description of the file on disk, from its receipt; without a receipt only its length."""
    receipt = read_receipt(item.path)
    if receipt is None:
        return RemoteFile(item.url, item.path.stat().st_size)
    return RemoteFile(item.url, receipt["bytes"], receipt["etag"], receipt["last_modified"])


def _has_changed(recorded: RemoteFile, current: RemoteFile) -> bool:
    if not recorded.may_equal(current):
        return True
    both_have_etags = recorded.etag is not None and current.etag is not None
    dates = (recorded.last_modified, current.last_modified)
    return not both_have_etags and None not in dates and dates[0] != dates[1]
