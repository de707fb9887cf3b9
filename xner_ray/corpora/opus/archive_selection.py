"""Which archives a command line asks for: by name, or by a config that names corpora of OPUS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xner_ray.config import Config
from xner_ray.corpora.opus.catalog import PUBLISHED, Archive, Catalog
from xner_ray.corpora.opus.resolve import find_all, lacking
from xner_ray.errors import UserError

Log = Callable[[str], None]


def from_names(
    catalog: Catalog,
    names: Sequence[str],
    source: str,
    targets: Sequence[str],
    format: str,
    base_url: str | None,
    log: Log,
) -> list[Archive]:
    """`NAME[/VERSION]` in each target language; says which are lacking.

    At a mirror, a name with a version need not be in the catalog: it is looked for where OPUS would have it.

    Raises:
        UserError: a name that OPUS does not know, or nothing at all is there.
    """
    found = []
    for target in targets:
        for name in names:
            try:
                archive = catalog.find(name, source, target, format)
            except UserError:
                if base_url is None or "/" not in name:
                    raise
                archive = _unlisted(name, source, target, format)
            if archive is None:
                log(f"warning: {lacking(name, f'{source}-{target}')}")
            elif archive not in found:
                found.append(archive)
    return _some(found)


def from_config(
    config: Config, catalog: Catalog, names: Sequence[str], targets: Sequence[str], log: Log
) -> list[Archive]:
    """What the `opus` entries of a config mean, all or those of some names and languages.

    Raises:
        UserError: the config has none, or none of these.
    """
    known = {x.name.lower(): x.name for x in config.corpora if x.opus}
    for name in names:
        if name.partition("/")[0].lower() not in known:
            remedy = f"it has {', '.join(known.values())}" if known else "add one: `- {opus: NAME[/VERSION]}`"
            raise UserError(f"the config has no corpus `{name}` with a key `opus`", key="corpora", remedy=remedy)
    wanted = {known[x.partition("/")[0].lower()] for x in names} or set(known.values())
    languages = [x for x in config.languages if not targets or x in targets]
    part = config.model_copy(update={"languages": languages})
    part = part.model_copy(update={"corpora": [x for x in config.corpora if x.name in wanted]})
    return _some(list(dict.fromkeys(x.archive for x in find_all(part, catalog, log))))


def _unlisted(name: str, source: str, target: str, format: str) -> Archive:
    corpus, _, version = name.partition("/")
    pair = "-".join(sorted((source, target)))
    suffix = "txt.zip" if format == "moses" else "tmx.gz"
    url = f"{PUBLISHED}{corpus}/{version}/{format}/{pair}.{suffix}"
    return Archive(corpus, version, source, target, format, url, None, None, False)


def _some(found: list[Archive]) -> list[Archive]:
    if not found:
        raise UserError("nothing of that is there", remedy="see `xner corpus list --target CODE`")
    return found
