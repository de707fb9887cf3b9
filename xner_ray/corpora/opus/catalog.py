"""The catalog of OPUS: which corpora exist for a language pair, in which versions, and how large their archives are.

The index of OPUS has one row for each file of each version. A row becomes an archive by these rules:

- Chinese is `zh` in most corpora, and `zh_cn`, `zh_CN` or `cmn` in others (OpenSubtitles v2018, Tatoeba). Some corpora have
  several, and then the larger one is taken. Traditional Chinese is a different text and must be named (`zh_TW`), as are other
  regional variants (`pt_BR`).
- `latest` marks the latest release of a corpus, which need not contain every pair. So the version is chosen for each pair.
- The URL of a row is right where its name is wrong: fifteen rows of `UNPC` belong to the older corpus `UN`.
- Rows whose archive holds only LICENSE and README are left out.
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
from xner_ray.language_codes import known_language

URL_PREFIX = "https://object.pouta.csc.fi/OPUS-"  # stands before the corpus name in the URLs of the index
PAPER = ("TED2013", "OpenSubtitles", "WikiMatrix", "UNPC", "Europarl", "WMT-News", "News-Commentary", "JW300")
WITHDRAWN = frozenset({"JW300"})
CatalogChoice = Literal["auto", "package", "api"]
_URL = re.compile(r".*/OPUS-(?P<corpus>[^/]+)/(?P<version>[^/]+)/[^/]+/[^/]+")
_SAFE_NAME = re.compile(r"\w[\w.+-]*")
# Spellings of a language in the index, beside its normalized code; those of opustools 1.9.
_SPELLINGS = {
    code: tuple(others.split())
    for code, others in (
        line.split(None, 1)
        for line in """
ak aka tw
am amh
ar ara
ay aym
bho bh
bik bcl
bm bam
bo bod
bua bxr
ca cat
cbk cbk_zam
chm mhr
crh_Latn crh_latn
cv chv
din dik
dtp kzj
fa pes
fa_AF prs
ff ful fuc
ha hau
he iw
ig ibo
iu ike
ki kik
kr kau
ku kmr
kv kpv
lah pnb
ln lin
map map_bms
mg plt mlg
ms zsm
ne npi
no nb nb_NO nb_no no_nb
ny nya
om orm
pa pan
qu quz que
rn run
ro mo
rom rmy
rw kin
sh hbs
sn sna
so som
sr srp
srx him
st sot
sw swh swa
ti tir
tl fil
tyj tmp
wo wol
xh xho
yo yor
yue zh_yue
zh zh_cn zh_CN cmn
zu zul
zza diq
""".strip().splitlines()
    )
}
_EMPTY_KB = 8  # the largest archive of LICENSE and README alone


class Index(Protocol):
    """A source of index rows; `name` is shown to the user."""

    name: str

    def rows(self, sources: list[str], targets: list[str], format: str) -> list[dict[str, Any]]: ...

    def corpora(self) -> set[str]: ...


@dataclass(frozen=True)
class Archive:
    """One file of OPUS.

    Attributes:
        corpus: name of the corpus.
        version: e.g. `v2018`.
        source: source language in the spelling of OPUS.
        target: target language in the spelling of OPUS.
        format: `moses` or `tmx`.
        url: address at OPUS.
        size: bytes, rounded to KiB; None where the index does not know it.
        pairs: number of sentence pairs; None where the index does not know it.
        latest: it belongs to the latest release of its corpus.

    Raises:
        UserError: its path would lead out of the folder that it is stored in.
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
        if not all(_SAFE_NAME.fullmatch(x) for x in self.path.split("/")) or self.path.count("/") != 3:
            raise UserError(f"`{self.path}` is not a valid archive name", file=self.url, remedy="use another catalog")

    @property
    def domain(self) -> str | None:
        """The domain of its corpus; None where it is not known."""
        return domain_of(self.corpus)

    @property
    def name(self) -> str:
        """`NAME/VERSION`, as on the command line."""
        return f"{self.corpus}/{self.version}"

    @property
    def path(self) -> str:
        """Path below a folder or a mirror, as at OPUS: `NAME/VERSION/moses/de-en.txt.zip`."""
        return f"{self.name}/{self.format}/{self.url.rsplit('/', 1)[-1]}"

    def address(self, base_url: str | None) -> str:
        """The URL at OPUS or at a mirror, whose `base_url` stands before the corpus name."""
        if base_url is None:
            return self.url
        return base_url + ("" if base_url.endswith(("/", "OPUS-")) else "/") + self.path

    def __str__(self) -> str:
        return f"{self.name} {self.source}-{self.target}"


@dataclass(frozen=True)
class Catalog:
    """The archives of an index.

    Attributes:
        index: the source of rows.
        note: why the live index is not used; None where it is, or was not chosen.
    """

    index: Index
    note: str | None = None

    @property
    def name(self) -> str:
        return self.index.name

    def archives(self, source: str, target: str, format: str = "moses") -> list[Archive]:
        """All archives of a language pair that hold text, in every version, sorted by corpus and version."""
        rows = self.index.rows(opus_codes(source), opus_codes(target), format)
        archives = [_archive(row, opus_codes(source), format) for row in rows if _holds_text(row)]
        return sorted(archives, key=lambda x: (x.corpus.lower(), version_key(x.version), x.url))

    def find(self, name: str, source: str, target: str, format: str = "moses") -> Archive | None:
        """The best archive of `NAME[/VERSION]`; None where OPUS knows the corpus but has no archive of this pair.

        Raises:
            UserError: OPUS has no corpus of this name.
        """
        corpus, _, version = name.partition("/")
        archives = [x for x in self.archives(source, target, format) if x.corpus.lower() == corpus.lower()]
        if version:
            archives = [x for x in archives if x.version.lower() == version.lower()]
        if not archives and corpus not in WITHDRAWN:
            self._check_name(corpus, source, target)
        return max(archives, key=_preference, default=None)

    def _check_name(self, corpus: str, source: str, target: str) -> None:
        known = {x.lower(): x for x in self.index.corpora() | set(PAPER) | {"UN"}}
        if corpus.lower() not in known:
            near = [known[x] for x in difflib.get_close_matches(corpus.lower(), list(known), 1)]
            listing = f"see `xner corpus list --source {source} --target {target}`"
            remedy = f"did you mean `{near[0]}`? {listing}" if near else listing
            raise UserError(f"OPUS has no corpus `{corpus}` ({self.name})", remedy=remedy)


def open_catalog(
    choice: CatalogChoice = "auto",
    api: str | None = None,
    timeout: tuple[float, float] = (2.0, 10.0),
    allow_private_hosts: bool = False,
) -> Catalog:
    """Open the live catalog or the catalog of the package `opustools`.

    Args:
        choice: `api`: the live one; `package`: that of the package; `auto`: the live one if it responds.
        api: URL of another API.
        timeout: seconds to connect, seconds without data.
        allow_private_hosts: connect to private and loopback addresses, too.

    Raises:
        UserError: the catalog is not available.
    """
    if choice == "package":
        return Catalog(PackageIndex())
    live = LiveIndex(api or API, timeout, allow_private_hosts)
    if choice == "api":
        return Catalog(live)
    try:
        live.corpora()
    except UserError as e:
        return Catalog(PackageIndex(), f"{live.name} {e.problem}")
    return Catalog(live)


def newest_versions(archives: Iterable[Archive]) -> list[Archive]:
    """One archive for each corpus, of the latest version that has this pair."""
    best: dict[str, Archive] = {}
    for archive in archives:
        current = best.get(archive.corpus)
        if current is None or _preference(archive) > _preference(current):
            best[archive.corpus] = archive
    return list(best.values())


def opus_codes(language: str) -> list[str]:
    """The spellings of a language code in OPUS: `zh_TW` is `zh_tw` in some corpora, and `zh` is also `zh_cn`.

    A code that is not known has one spelling: OPUS has languages without an ISO code (`toki`).
    """
    code = known_language(language) or language
    return list(dict.fromkeys((code, *_SPELLINGS.get(code, ()), code.lower())))


def version_key(version: str) -> tuple[tuple[int, ...], str]:
    """A key that sorts versions: v9.1 < v14 < v2016, v20190709 < v2020-05-31, v2.0 < v2.0a."""
    dated = re.sub(r"\b(v?)((?:19|20)\d\d)(\d\d)(\d\d)\b", r"\1\2-\3-\4", version)
    return tuple(map(int, re.findall(r"\d+", dated))), version


def _preference(archive: Archive) -> tuple[Any, ...]:
    # Size decides between spellings: TED2020 has 16,382 pairs of `zh`, and 399,092 of `zh_cn`.
    return archive.latest, version_key(archive.version), archive.size or 0, archive.pairs or 0, archive.url


def _archive(row: dict[str, Any], sources: list[str], format: str) -> Archive:
    match = _URL.fullmatch(row["url"])
    corpus, version = (match["corpus"], match["version"]) if match else (row["corpus"], row["version"])
    codes = row["source"], row["target"]
    source, target = codes if codes[0] in sources else codes[::-1]
    size, pairs = _number(row["size"]), _number(row["alignment_pairs"])
    size = size * 1024 if size else None
    latest = str(row["latest"]) == "True" and corpus == row["corpus"]
    return Archive(corpus, version, source, target, format, row["url"], size, pairs or None, latest)


def _holds_text(row: dict[str, Any]) -> bool:
    size, pairs = _number(row["size"]) or 0, _number(row["alignment_pairs"])
    # Some sizes and counts are missing, or are 0 although the archive is large.
    return bool(pairs) or size > (_EMPTY_KB if pairs == 0 else 0)


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None
