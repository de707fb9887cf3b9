"""Corpora that a config names by their OPUS name, as files or addresses.

The catalog is asked once, before anything starts, and each entry becomes one plain corpus a language: versions and file
names differ between languages (`zh_cn`), and what comes after knows paths alone. A corpus that a language lacks is told and
left out: quotas are equal over those that are there, so its share goes to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xner_ray.config import Config, CorpusConfig
from xner_ray.corpora.opus.catalog import GONE, Archive, Catalog, open_catalog
from xner_ray.errors import UserError

Log = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A corpus of the config in one language."""

    corpus: CorpusConfig
    language: str
    archive: Archive


def find_all(config: Config, catalog: Catalog, log: Log) -> list[Found]:
    """The archives that the `opus` entries of a config mean; says which are lacking.

    Raises:
        UserError: a name that OPUS has in no language.
    """
    found = []
    for language in config.languages:
        pair = f"{config.source_language}-{language}"
        for corpus in config.corpora_of(language):
            if corpus.opus is None:
                continue
            archive = catalog.find(corpus.opus, config.source_language, language, corpus.format)
            if archive is not None:
                found.append(Found(corpus, language, archive))
            else:
                log(f"[opus] warning: {lacking(corpus.opus, pair)}; its share goes to the other corpora")
    return found


def lacking(name: str, pair: str) -> str:
    """Why a corpus is not there, in words."""
    gone = GONE.get(name.partition("/")[0])
    return f"OPUS has {name} no more: {gone}" if gone else f"OPUS has no {name} for {pair}"


def resolve(config: Config, log: Log) -> Config:
    """The config with a path for every corpus; itself where none has an `opus` key.

    An archive that `xner corpus fetch` has put into `opus.folder` is read there, another one from its address.

    Raises:
        UserError: no catalog, a name that OPUS does not know, or a language that is left without any corpus.
    """
    if not any(x.opus for x in config.corpora):
        return config
    catalog = open_catalog(config.opus.catalog, config.opus.api)
    return resolve_found(config, find_all(config, catalog, log), catalog.name, log)


def resolve_found(config: Config, found: list[Found], catalog: str, log: Log) -> Config:
    """`resolve` for who has asked the catalog of this name already.

    Raises:
        UserError: a language is left without any corpus.
    """
    corpora: list[CorpusConfig] = []
    for corpus in config.corpora:
        corpora += [_plain(x, config) for x in found if x.corpus is corpus] if corpus.opus else [corpus]
    resolved = config.model_copy(update={"corpora": corpora})
    for language in config.languages:
        mine = [x for x in found if x.language == language]
        if not resolved.corpora_of(language):
            remedy = f"see `xner corpus list --source {config.source_language} --target {language}`"
            raise UserError(f"no corpus is left for `{language}`", key="corpora", remedy=remedy)
        remote = sum("://" in _place(x.archive, config) for x in mine)
        told = ", ".join(x.archive.name for x in mine) or "nothing"
        away = f"; {remote} of them not fetched, to be read from the net" if remote else ""
        log(f"[opus] {language}: {told} ({catalog}){away}")
    return resolved


def _plain(found: Found, config: Config) -> CorpusConfig:
    corpus = found.corpus
    told = {"path": _place(found.archive, config), "languages": [found.language], "opus": None}
    if "domain" not in corpus.model_fields_set and found.archive.domain:
        told["domain"] = found.archive.domain
    return corpus.model_copy(update=told)


def _place(archive: Archive, config: Config) -> str:
    local = Path(config.fill(config.opus.folder)) / archive.path
    return str(local) if local.exists() else archive.address(config.opus.base_url)
