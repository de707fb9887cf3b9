"""Corpora that a config names by their OPUS name become corpora with a path or URL.

The catalog is queried once, before a run starts. Each entry becomes one plain corpus per language, because versions and
file names differ between languages (`zh_cn`). Missing corpora are reported; their quota is redistributed to the other
corpora.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import Config, CorpusConfig
from xner_ray.corpora.opus.catalog import WITHDRAWN, Archive, Catalog, open_catalog
from xner_ray.errors import UserError

Log = Callable[[str], None]


@dataclass(frozen=True)
class ResolvedCorpus:
    """An `opus` entry of the config in one language, and its archive."""

    corpus: CorpusConfig
    language: str
    archive: Archive


def find_archives(config: Config, catalog: Catalog, log: Log) -> list[ResolvedCorpus]:
    """Look up the archives of a config's `opus` entries, in every target language. Missing ones are logged.

    Raises:
        UserError: OPUS has no corpus of this name.
    """
    resolved = []
    for language in config.languages:
        pair = f"{config.source_language}-{language}"
        for corpus in config.corpora_of(language):
            if corpus.opus is None:
                continue
            archive = catalog.find(corpus.opus, config.source_language, language, corpus.format)
            if archive is not None:
                resolved.append(ResolvedCorpus(corpus, language, archive))
            else:
                log(f"[opus] warning: {missing_message(corpus.opus, pair)}; its quota goes to the other corpora")
    return resolved


def missing_message(name: str, pair: str) -> str:
    """The reason why a corpus has no archive for a language pair."""
    if name.partition("/")[0] in WITHDRAWN:
        return f"OPUS has withdrawn {name}"
    return f"OPUS has no {name} for {pair}"


def resolve_corpora(config: Config, log: Log) -> Config:
    """The config with a path for every corpus; the config itself where no corpus has an `opus` key.

    An archive that `xner corpus fetch` has stored in `opus.folder` gets its path, other archives get their URL.

    Raises:
        UserError: the catalog is not available, OPUS does not know a name, or a language has no corpus left.
    """
    if not any(x.opus for x in config.corpora):
        return config
    catalog = open_catalog(config.opus.catalog, config.opus.api, allow_private_hosts=config.ingest.allow_private_hosts)
    return with_archive_paths(config, find_archives(config, catalog, log), catalog.name, log)


def with_archive_paths(config: Config, resolved: list[ResolvedCorpus], catalog: str, log: Log) -> Config:
    """The config with a path for every corpus.

    Args:
        config: the config.
        resolved: the archives of its `opus` entries, see `find_archives`.
        catalog: name of the catalog, for the log.
        log: receives a line for each language.

    Raises:
        UserError: a language has no corpus left.
    """
    corpora: list[CorpusConfig] = []
    for corpus in config.corpora:
        corpora += [_plain_corpus(x, config) for x in resolved if x.corpus is corpus] if corpus.opus else [corpus]
    plain = config.model_copy(update={"corpora": corpora})
    for language in config.languages:
        archives = [x.archive for x in resolved if x.language == language]
        if not plain.corpora_of(language):
            remedy = f"see `xner corpus list --source {config.source_language} --target {language}`"
            raise UserError(f"no corpus is left for `{language}`", key="corpora", remedy=remedy)
        remote = sum("://" in _path_or_url(x, config) for x in archives)
        names = ", ".join(x.name for x in archives) or "nothing"
        suffix = f"; {remote} of them not fetched, read over the network" if remote else ""
        log(f"[opus] {language}: {names} ({catalog}){suffix}")
    return plain


def _plain_corpus(resolved: ResolvedCorpus, config: Config) -> CorpusConfig:
    corpus, archive = resolved.corpus, resolved.archive
    update: dict[str, Any] = {"path": _path_or_url(archive, config), "languages": [resolved.language], "opus": None}
    if "domain" not in corpus.model_fields_set and archive.domain:
        update["domain"] = archive.domain
    return corpus.model_copy(update=update)


def _path_or_url(archive: Archive, config: Config) -> str:
    local = Path(config.fill(config.opus.folder)) / archive.path
    return str(local) if local.exists() else archive.address(config.opus.base_url)
