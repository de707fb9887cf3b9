"""What is new: the catalog against the disk, the disk's receipts against the server, and the corpora against the collection.

An archive is changed where its server tells another length, ETag or date than its receipt, whatever the version says. Nothing
is written here, so a dry run may look at everything; it asks no server for archives that it does not have.
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

State = Literal["new", "changed", "held"]


@dataclass(frozen=True)
class Corpus:
    """A corpus in one language.

    Attributes:
        name: as in the config.
        what: NAME/VERSION at OPUS, else its path.
        state: against the collection; changed also means that its archive, or what is asked of it, is another one.
        pairs: that the catalog tells; None where it, or nobody, does.
        held: lines that the collection has read of the version that it holds.
        item: its archive, where it is one of OPUS.
    """

    language: str
    name: str
    what: str
    state: State
    pairs: int | None
    held: int
    item: FetchItem | None = None

    @property
    def size(self) -> int:
        """Bytes to fetch, as far as it is known."""
        return self.item.remaining if self.item else 0

    @property
    def to_read(self) -> int | None:
        """Lines that ingest reads; None where nobody knows."""
        return 0 if self.state == "held" else self.pairs

    @property
    def more(self) -> int | None:
        """Pairs by which the corpus grew: new ones, if none replaced others; None where nobody knows."""
        if self.state == "held":
            return 0
        return None if self.pairs is None else max(self.pairs - self.held, 0)

    def to_json(self) -> dict[str, Any]:
        keys = ("language", "name", "what", "state", "pairs", "held", "size")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Look:
    """What was seen. config: with a path for every corpus. catalog: its name, None where none was asked."""

    config: Config
    corpora: list[Corpus]
    catalog: str | None
    found: list[ResolvedCorpus]

    @property
    def items(self) -> list[FetchItem]:
        """Archives to fetch or, where somebody else put them there, to take in; each once."""
        found = {c.item.path: c.item for c in self.corpora if c.item and c.item.state != "fetched"}
        return list(found.values())

    def resolved(self, log: Log) -> Config:
        """The config with paths as they are now, after fetching."""
        return with_archive_paths(self.config, self.found, self.catalog, log) if self.catalog else self.config


def look(config: Config, http: HttpClient, watch: ProgressListener, log: Log, dry: bool = False) -> Look:
    """See what is new.

    Args:
        config: with `ingest.incremental`.
        dry: only say what a night would do; where a server cannot be reached, its archives are taken as they are.

    Raises:
        UserError: no catalog, a corpus that OPUS does not know, an archive that its server does not have, or no answer.
    """
    catalog, found, plain = None, [], config
    if any(x.opus for x in config.corpora):
        opened = open_catalog(config.opus.catalog, config.opus.api)
        catalog, found = opened.name, find_archives(config, opened, log)
        plain = with_archive_paths(config, found, catalog, lambda line: None)
    wanted = dict.fromkeys(x.archive for x in found)
    there = {archive: _item(config, archive, http, watch, log, dry) for archive in wanted}
    corpora = []
    for language in config.languages:
        archives = {x.corpus.name: x.archive for x in found if x.language == language}
        mine = {name: there[archive] for name, archive in archives.items()}
        corpora += _of_language(plain, language, mine)
    return Look(config, corpora, catalog, found)


def _of_language(plain: Config, language: str, items: dict[str, FetchItem]) -> list[Corpus]:
    """The corpora of a language. plain: with a path for each. items: by name, those of OPUS."""
    collection, sources = Collection(collection_folder(plain.out, language)), sources_of(plain, language)
    held = collection.versions()
    read = {label: count.read for report in collection.reports() for label, count in report.corpora.items()}
    news = {source.corpus.name for source in collection.new_sources(sources)}
    corpora = []
    for source in sources:
        name, item = source.corpus.name, items.get(source.corpus.name)
        other = name in news or (item is not None and item.state in ("absent", "partial"))
        state: State = "new" if name not in held else "changed" if other else "held"
        what, pairs = (item.archive.name, item.archive.pairs) if item else (source.path, None)
        corpora.append(Corpus(language, name, what, state, pairs, read[held[name].label] if name in held else 0, item))
    return corpora


def _item(
    config: Config, archive: Archive, http: HttpClient, watch: ProgressListener, log: Log, dry: bool
) -> FetchItem:
    """What is there of an archive; one that the server has another of by now counts as not there."""
    folder, base = Path(config.fill(config.opus.folder)), config.opus.base_url
    absent = FetchItem(archive, archive.address(base), folder / archive.path, archive.size, 0, "absent")
    if not absent.path.exists():
        return absent if dry else plan_fetch(archive, folder, base, http, watch)
    try:
        # A part beside the file: somebody was about to replace it.
        again = absent.part.exists() or _differs(_known(absent), http.head(absent.url, watch))
        return plan_fetch(archive, folder, base, http, watch, again)
    except UserError as e:
        if not dry:
            raise
        log(f"[opus] {archive}: not asked whether it changed, {e.problem}")
        size = absent.path.stat().st_size
        return replace(absent, size=size, received=size, state="fetched")


def _known(item: FetchItem) -> RemoteFile:
    """What the server said of the file that is here; for one without a receipt its length alone."""
    receipt = read_receipt(item.path)
    if receipt is None:
        return RemoteFile(item.url, item.path.stat().st_size)
    return RemoteFile(item.url, receipt["bytes"], receipt["etag"], receipt["last_modified"])


def _differs(known: RemoteFile, now: RemoteFile) -> bool:
    if not known.may_equal(now):
        return True
    tagged = known.etag is not None and now.etag is not None
    return (
        not tagged
        and None not in (known.last_modified, now.last_modified)
        and known.last_modified != now.last_modified
    )
