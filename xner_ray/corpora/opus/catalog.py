"""What OPUS has for a pair of languages: which corpora, which version of each, where and how large.

The index has a row for each file of each version. Between a row and an archive that a user wants lie some facts of OPUS:

- Chinese is `zh` in most corpora, `zh_cn` or `zh_CN` in others (OpenSubtitles v2018), and some have both, one of them a
  remnant. The larger one is taken. Traditional Chinese is another text and must be asked for (`zh_TW`).
- `latest` marks the latest release of a corpus, which need not hold every pair, so the version is chosen for each pair.
- The address is right where the name is wrong: fifteen rows of `UNPC` are the older corpus `UN`.
- An archive of nothing but LICENSE and README is listed like any other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from xner_ray.corpora.opus.domains import domain_of
from xner_ray.corpora.opus.opus_index import API, LiveIndex, PackageIndex
from xner_ray.errors import UserError
from xner_ray.text.languages import get_language

PUBLISHED = "https://object.pouta.csc.fi/OPUS-"  # what stands before a corpus's name in the addresses of the index
PAPER = ("TED2013", "OpenSubtitles", "WikiMatrix", "UNPC", "Europarl", "WMT-News", "News-Commentary", "JW300")
GONE = {"JW300": "it was withdrawn"}
Choice = Literal["auto", "package", "api"]
_ADDRESS = re.compile(r".*/OPUS-(?P<corpus>[^/]+)/(?P<version>[^/]+)/[^/]+/[^/]+")
_SAFE = re.compile(r"\w[\w.+-]*")
_EMPTY_KB = 8  # LICENSE and README alone take up to this


class Index(Protocol):
    """A source of rows; `name` tells the user which."""

    name: str

    def rows(self, sources: list[str], targets: list[str], format: str) -> list[dict[str, Any]]: ...

    def corpora(self) -> set[str]: ...


@dataclass(frozen=True)
class Archive:
    """One file of OPUS.

    source, target: OPUS' own codes, in the order that was asked for. size: bytes, to the KiB; None where the index does not
    know. pairs: None likewise. latest: of the latest release of its corpus.

    Raises:
        UserError: a name that would lead out of the folder it is to lie in.
    """

    corpus: str
    version: str
    source: str
    target: str
    format: str
    url: str
    size: int | None
    pairs: int | None
    latest: bool

    def __post_init__(self) -> None:
        if not all(_SAFE.fullmatch(x) for x in self.path.split("/")) or self.path.count("/") != 3:
            raise UserError(f"`{self.path}` is no name of an archive", file=self.url, remedy="use another catalog")

    @property
    def domain(self) -> str | None:
        return domain_of(self.corpus)

    @property
    def name(self) -> str:
        """`NAME/VERSION`, as the command line takes it."""
        return f"{self.corpus}/{self.version}"

    @property
    def path(self) -> str:
        """Where it lies below a folder or a mirror: `NAME/VERSION/moses/de-en.txt.zip`, as at OPUS."""
        return f"{self.name}/{self.format}/{self.url.rsplit('/', 1)[-1]}"

    def address(self, base_url: str | None) -> str:
        """The URL, at a mirror where there is one: `base_url` is what stands before the corpus's name."""
        if base_url is None:
            return self.url
        return base_url + ("" if base_url.endswith(("/", "OPUS-")) else "/") + self.path

    def __str__(self) -> str:
        return f"{self.name} {self.source}-{self.target}"


@dataclass(frozen=True)
class Catalog:
    """An index and what it costs to ask it. `note` says why it was not the live one."""

    index: Index
    note: str | None = None

    @property
    def name(self) -> str:
        return self.index.name

    def archives(self, source: str, target: str, format: str = "moses") -> list[Archive]:
        """All archives of a pair that hold text, of every version."""
        rows = self.index.rows(spellings(source), spellings(target), format)
        found = [_archive(row, spellings(source), format) for row in rows if _holds_text(row)]
        return sorted(found, key=lambda x: (x.corpus.lower(), version_key(x.version), x.url))

    def find(self, name: str, source: str, target: str, format: str = "moses") -> Archive | None:
        """The archive that `NAME[/VERSION]` names; None where the pair has none, though the corpus is known.

        Raises:
            UserError: no corpus has this name.
        """
        corpus, _, version = name.partition("/")
        found = [x for x in self.archives(source, target, format) if x.corpus.lower() == corpus.lower()]
        if version:
            found = [x for x in found if x.version.lower() == version.lower()]
        if not found and corpus not in GONE:
            self._check_name(corpus, f"{source}-{target}")
        return max(found, key=_preference, default=None)

    def _check_name(self, corpus: str, pair: str) -> None:
        known = {x.lower(): x for x in self.index.corpora() | set(PAPER) | {"UN"}}
        if corpus.lower() not in known:
            near = [known[x] for x in difflib.get_close_matches(corpus.lower(), list(known), 1)]
            source, _, target = pair.partition("-")
            listing = f"see `xner corpus list --source {source} --target {target}`"
            remedy = f"did you mean `{near[0]}`? {listing}" if near else listing
            raise UserError(f"OPUS has no corpus `{corpus}` ({self.name})", remedy=remedy)


def open_catalog(
    choice: Choice = "auto", api: str | None = None, timeout: tuple[float, float] = (2.0, 10.0)
) -> Catalog:
    """The live catalog where it answers, else the one of the package; or the one that was chosen.

    Args:
        choice: `api` and `package` insist.
        api: another address of the API.
        timeout: seconds to connect, seconds of silence.

    Raises:
        UserError: the chosen one, or neither, can be had.
    """
    if choice == "package":
        return Catalog(PackageIndex())
    live = LiveIndex(api or API, timeout)
    if choice == "api":
        return Catalog(live)
    try:
        live.corpora()
    except UserError as e:
        return Catalog(PackageIndex(), f"{live.name} {e.problem}")
    return Catalog(live)


def newest(archives: Iterable[Archive]) -> list[Archive]:
    """One archive a corpus: of the latest version that has one."""
    best: dict[str, Archive] = {}
    for archive in archives:
        held = best.get(archive.corpus)
        if held is None or _preference(archive) > _preference(held):
            best[archive.corpus] = archive
    return list(best.values())


def spellings(language: str) -> list[str]:
    """A language in the spellings of OPUS: `zh_TW` is `zh_tw` in some corpora, and `zh` also means `zh_cn`."""
    code, _, region = language.replace("-", "_").partition("_")
    if not region:
        return list(get_language(code.lower()).opus_codes or (code,))
    return list(dict.fromkeys((f"{code}_{region}", f"{code}_{region.upper()}", f"{code}_{region.lower()}")))


def version_key(version: str) -> tuple[tuple[int, ...], str]:
    """Versions in their order: v9.1 < v14 < v2016, v20190709 < v2020-05-31, v2.0 < v2.0a."""
    dated = re.sub(r"\b(v?)((?:19|20)\d\d)(\d\d)(\d\d)\b", r"\1\2-\3-\4", version)
    return tuple(map(int, re.findall(r"\d+", dated))), version


def _preference(archive: Archive) -> tuple[Any, ...]:
    # Of one version the larger spelling: TED2020 has 16,382 pairs of `zh`, and 399,092 of `zh_cn`.
    return archive.latest, version_key(archive.version), archive.size or 0, archive.pairs or 0, archive.url


def _archive(row: dict[str, Any], sources: list[str], format: str) -> Archive:
    address = _ADDRESS.fullmatch(row["url"])
    corpus, version = (address["corpus"], address["version"]) if address else (row["corpus"], row["version"])
    codes = row["source"], row["target"]
    source, target = codes if codes[0] in sources else codes[::-1]
    size, pairs = _number(row["size"]), _number(row["alignment_pairs"])
    size = size * 1024 if size else None
    latest = str(row["latest"]) == "True" and corpus == row["corpus"]
    return Archive(corpus, version, source, target, format, row["url"], size, pairs or None, latest)


def _holds_text(row: dict[str, Any]) -> bool:
    size, pairs = _number(row["size"]) or 0, _number(row["alignment_pairs"])
    # Some sizes and some counts are missing, or 0 for an archive that is large.
    return bool(pairs) or size > (_EMPTY_KB if pairs == 0 else 0)


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None
