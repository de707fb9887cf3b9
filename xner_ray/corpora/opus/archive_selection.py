"""Selection of OPUS archives: by name, or by a config that names corpora of OPUS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xner_ray.config import Config
from xner_ray.corpora.opus.catalog import URL_PREFIX, Archive, Catalog
from xner_ray.corpora.opus.resolve import find_archives, missing_message
from xner_ray.errors import UserError

Log = Callable[[str], None]


def archives_by_name(
    catalog: Catalog,
    names: Sequence[str],
    source: str,
    targets: Sequence[str],
    format: str,
    base_url: str | None,
    log: Log,
) -> list[Archive]:
    """Return the archives of corpora in several target languages. Missing ones are logged.

    Args:
        catalog: where they are looked up.
        names: `NAME[/VERSION]`.
        source: source language code.
        targets: target language codes.
        format: `moses` or `tmx`.
        base_url: of a mirror. There, a name with a version need not be in the catalog: its URL follows from its name.
        log: receives the warnings.

    Raises:
        UserError: OPUS does not know a name, or no archive exists.
    """
    archives: list[Archive] = []
    for target in targets:
        for name in names:
            try:
                archive = catalog.find(name, source, target, format)
            except UserError:
                if base_url is None or "/" not in name:
                    raise
                archive = _unlisted_archive(name, source, target, format)
            if archive is None:
                log(f"warning: {missing_message(name, f'{source}-{target}')}")
            elif archive not in archives:
                archives.append(archive)
    return _not_empty(archives)


def archives_of_config(
    config: Config, catalog: Catalog, names: Sequence[str], targets: Sequence[str], log: Log
) -> list[Archive]:
    """Return the archives of the `opus` entries of a config.

    Args:
        config: with entries in `corpora`.
        catalog: where they are looked up.
        names: only these corpora; empty: all.
        targets: only these languages; empty: all.
        log: receives warnings.

    Raises:
        UserError: the config has no such entry, or no archive exists.
    """
    known = {x.name.lower(): x.name for x in config.corpora if x.opus}
    for name in names:
        if name.partition("/")[0].lower() not in known:
            remedy = f"it has {', '.join(known.values())}" if known else "add one: `- {opus: NAME[/VERSION]}`"
            raise UserError(f"the config has no corpus `{name}` with a key `opus`", key="corpora", remedy=remedy)
    selected = {known[x.partition("/")[0].lower()] for x in names} or set(known.values())
    languages = [x for x in config.languages if not targets or x in targets]
    part = config.model_copy(update={"languages": languages})
    part = part.model_copy(update={"corpora": [x for x in config.corpora if x.name in selected]})
    return _not_empty(list(dict.fromkeys(x.archive for x in find_archives(part, catalog, log))))


def _unlisted_archive(name: str, source: str, target: str, format: str) -> Archive:
    corpus, _, version = name.partition("/")
    pair = "-".join(sorted((source, target)))
    suffix = "txt.zip" if format == "moses" else "tmx.gz"
    url = f"{URL_PREFIX}{corpus}/{version}/{format}/{pair}.{suffix}"
    return Archive(corpus, version, source, target, format, url, None, None, False)


def _not_empty(archives: list[Archive]) -> list[Archive]:
    if not archives:
        raise UserError("no such archive exists", remedy="see `xner corpus list --target CODE`")
    return archives
