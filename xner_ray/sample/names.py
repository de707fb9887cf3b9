"""Entity values: the text of the slots of a frame in each language. Each value belongs to exactly one part, `train` or
`eval`.

A projection test is meaningful only if the names of the evaluation do not occur in training. The part of a value is
therefore written in its list: a hash could not avoid that one name contains another (马里 in 马里诺). Names of countries and
languages come from Unicode CLDR through babel, so babel is pinned: a new CLDR release may change a name and thus the
bytes of the sample. All other names are in `names/<kind>.tsv`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from babel import Locale

from xner_ray.errors import UserError
from xner_ray.sample.french import elide

LANGUAGES = ("en", "de", "es", "nl", "zh", "fr", "ja")
DEFAULT = ("de", "es", "nl", "zh")  # default of `xner sample`
WRITTEN = ("en", "zh", "ja")  # cells that must not be empty; other languages fall back to the English name
PARTS = ("train", "eval")

# Singular, without article in de/es/nl, with the same preposition as a city. Left out: names with an article (Switzerland,
# Netherlands, Iraq, Sudan, Lebanon, Moldova, the Gulf states ...), islands that need "on" (Cuba, Malta, Cyprus, Sri Lanka,
# Madagascar), countries named like their capital or a person (Luxembourg, Panama, Georgia, Jordan, Chad), names that are
# part of another country's (Guinea, Niger, Dominica, Congo), and disputed names.
COUNTRIES = (  # noqa: SIM905 (a table of codes is easier to read than a list)
    "AL AR AM AU AT AZ BE BD BO BR BG CA CL CN CO HR DK EG EE ET FI FR DE GH GR HN HU IS IN ID IE IT JP KZ KE KR "
    "LV LT MY MX MA NA NP NZ NI NG NO PK PY PE PL PT QA RO RU RW SA RS SI ZA ES SE SY TJ TZ TH TG TN TM UG UY UZ "
    "VE VN ZM ZW BW CM CR CZ KH LR LY ME MK MZ AO AF DZ BY BI LA ER GA MW LS BJ EC"
).split()

# Languages whose name is one word in all languages. Left out: those whose Chinese name contains another one (Afrikaans).
TONGUES = (  # noqa: SIM905
    "ar hy az eu be bn bg ca hr cs da nl en et fi fr ka de el he hi hu is id ga it ja kk km ko lo lv lt mk ms mt "
    "mn ne no fa pl pt pa ro ru sr sk sl es sw sv ta te th tr uk ur uz vi cy gl am so zu sq zh gu yo kn"
).split()

# A country and its language belong to the same part: in Chinese one usually contains the other (匈牙利, 匈牙利语).
EVAL_COUNTRIES = frozenset("AL BG CL HU IS KE LV NP PE PT PY QA RS TH TN UY VN ZM CZ LA".split())  # noqa: SIM905
EVAL_TONGUES = frozenset("sq bg hu is lv ne pt sr th vi cs lo eu ta zu".split())  # noqa: SIM905

LISTED = {
    "LOC.city": "city",
    "LOC.region": "region",
    "ORG.company": "company",
    "ORG.ministry": "ministry",
    "ORG.agency": "agency",
    "ORG.paper": "paper",
    "MISC.cup": "cup",
    "MISC.title": "title",
    "MISC.prize": "prize",
}
CLUB_PATTERNS = (
    ("{} FC", "FC {}", "FC {}", "FC {}", "{}足球俱乐部", "FC {}", "FC{}"),
    ("{} SC", "SC {}", "SC {}", "SC {}", "{}体育俱乐部", "SC {}", "SC{}"),
    ("AC {}", "AC {}", "AC {}", "AC {}", "{}竞技俱乐部", "AC {}", "AC{}"),
    (*["Racing Club {}"] * 4, "{}竞赛俱乐部", "Racing Club {}", "レーシング・クラブ・{}"),
)
# No German adjectives (Technische Universität), because they would have to agree with the case of the frame.
UNIVERSITY_PATTERNS = (
    (
        "University of {}",
        "Universität {}",
        "Universidad de {}",
        "Universiteit van {}",
        "{}大学",
        "université de {}",
        "{}大学",
    ),
    (
        "City University of {}",
        "Stadtuniversität {}",
        "Universidad Municipal de {}",
        "Stadsuniversiteit {}",
        "{}城市大学",
        "université municipale de {}",
        "{}市立大学",
    ),
    (
        "National University of {}",
        "Nationaluniversität {}",
        "Universidad Nacional de {}",
        "Rijksuniversiteit {}",
        "{}国立大学",
        "université nationale de {}",
        "{}国立大学",
    ),
)
KINDS = (
    *LISTED,
    "PER.full",
    "PER.last",
    "LOC.country",
    "ORG.club",
    "ORG.university",
    "MISC.language",
)


@dataclass(frozen=True, slots=True)
class Value:
    """One entity.

    Attributes:
        group: values of one group (two people called Keller, two clubs of one city) never occur in one sentence.
        text: its name by language.
        last: a person's last name by language, for further mentions; empty for other kinds.
    """

    group: str
    text: Mapping[str, str]
    last: Mapping[str, str]


@cache
def read_list(name: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """Rows of `names/<name>.tsv` as (part, names by language). An empty cell stands for the English name.

    Raises:
        UserError: a row lacks a name or has an unknown part.
    """
    path = files("xner_ray.sample").joinpath("names", f"{name}.tsv")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        *cells, part = line.split("\t")
        surfaces = dict(zip(LANGUAGES, cells, strict=False))
        if len(cells) != len(LANGUAGES) or not all(surfaces[x] for x in WRITTEN) or part not in PARTS:
            raise UserError(
                f"a name needs {', '.join(LANGUAGES)} and a part",
                file=path,
                line=number,
                remedy=f"separate them by tabs; only {', '.join(WRITTEN)} must not be empty, part is train or eval",
            )
        rows.append((part, {language: text or cells[0] for language, text in surfaces.items()}))
    return tuple(rows)


def _of_part(name: str, part: str) -> list[dict[str, str]]:
    return [surfaces for own, surfaces in read_list(name) if own == part]


def _people(part: str) -> Iterator[Value]:
    """All people of a part, by last name. In Chinese characters, a Chinese person keeps the full name in further mentions."""
    given, family = _of_part("given", part), _of_part("family", part)
    for last in family:
        for first in given:
            full = {tag: f"{first[tag]} {last[tag]}" for tag in LANGUAGES}
            dots = {"zh": f"{first['zh']}·{last['zh']}", "ja": f"{first['ja']}・{last['ja']}"}
            yield Value(last["en"], full | dots, last)
    for last in _of_part("family_zh", part):
        for first in _of_part("given_zh", part):
            full = {tag: f"{last[tag]} {first[tag]}" for tag in LANGUAGES}
            characters = {tag: last[tag] + first[tag] for tag in ("zh", "ja")}
            yield Value(last["en"], full | characters, last | characters)


def _of_cities(part: str, patterns: tuple[tuple[str, ...], ...], each: int) -> Iterator[Value]:
    """`each` patterns for each city, chosen by a hash of its name, so that the order of the list does not matter."""
    for city in _of_part("city", part):
        first = zlib.crc32(city["en"].encode())
        for step in range(each):
            pattern = patterns[(first + step) % len(patterns)]
            text = {tag: form.format(city[tag]) for tag, form in zip(LANGUAGES, pattern, strict=True)}
            text["fr"] = elide(text["fr"])
            yield Value(city["en"], text, {})


def _of_cldr(table: str, codes: list[str], held_out: frozenset[str], part: str) -> Iterator[Value]:
    tables = {tag: getattr(Locale.parse(tag), table) for tag in LANGUAGES}
    for code in codes:
        if (code in held_out) == (part == "eval"):
            yield Value(code, {tag: names[code] for tag, names in tables.items()}, {})


@cache
def values(kind: str, part: str) -> tuple[Value, ...]:
    """Return all values of a kind in one part; the values of a group are consecutive.

    Raises:
        UserError: the kind or the part is unknown.
    """
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}", remedy=f"use one of {', '.join(PARTS)}")
    if kind in LISTED:
        return tuple(Value(text["en"], text, {}) for text in _of_part(LISTED[kind], part))
    match kind:
        case "PER.full":
            return tuple(_people(part))
        case "PER.last":
            return tuple(Value(text["en"], text, text) for text in _of_part("family", part))
        case "LOC.country":
            return tuple(_of_cldr("territories", COUNTRIES, EVAL_COUNTRIES, part))
        case "MISC.language":
            return tuple(_of_cldr("languages", TONGUES, EVAL_TONGUES, part))
        case "ORG.club":
            return tuple(_of_cities(part, CLUB_PATTERNS, 2))
        case "ORG.university":
            return tuple(_of_cities(part, UNIVERSITY_PATTERNS, 2))
    raise UserError(f"unknown kind {kind!r}", remedy=f"use one of {', '.join(sorted(KINDS))}")
