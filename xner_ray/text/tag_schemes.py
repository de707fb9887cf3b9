"""Tagging schemes and their conversion to BIO2. The user names the scheme; it is never guessed.

iob1 I- also begins an entity; B- only separates it from one of the same type directly before it iobes S- is an entity
of one token, E- ends a longer one bilou the same with U- and L-
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from xner_ray.config import TagScheme
from xner_ray.errors import UserError

_PREFIXES: dict[TagScheme, dict[str, str]] = {
    "bio2": {"B": "B", "I": "I"},
    "iob1": {"B": "B", "I": "I"},
    "iobes": {"B": "B", "I": "I", "E": "I", "S": "B"},
    "bilou": {"B": "B", "I": "I", "L": "I", "U": "B"},
}
_TAG = re.compile(r"([BIESLU])-(\S+)")
_TWO = re.compile(r"[|#;,+/&](?:O$|O[|#;,+/&]|[BIESLU]-)")  # B-ORG|B-LOC: two tags on one token
_KEY = "`scheme: {0}` for this file in the config, or `--scheme {0}`, converts"


def as_scheme(name: str) -> TagScheme:
    """The scheme of a name.

    Raises:
        UserError: no scheme has this name.
    """
    for scheme in _PREFIXES:
        if scheme == name.lower():
            return scheme
    raise UserError(f"`{name}` is not a tagging scheme", key="--scheme", remedy=f"one of {', '.join(_PREFIXES)}")


def to_bio2(tags: Sequence[str], scheme: TagScheme, path: object, lines: Sequence[int]) -> list[str]:
    """Convert the tags of a sentence to BIO2.

    Args:
        tags: tags of the scheme.
        scheme: the scheme.
        path: the file, for errors.
        lines: line number of each tag, for errors.

    Raises:
        UserError: a tag does not belong to the scheme or continues no entity, or a token has two tags.
    """
    out: list[str] = []
    open_type = ""  # type of the entity that the next tag may continue
    for tag, line in zip(tags, lines, strict=True):
        if tag == "O":
            out.append(tag)
            open_type = ""
            continue
        prefix, kind = _parts(tag, scheme, path, line)
        as_bio2 = _PREFIXES[scheme][prefix]
        if as_bio2 == "I" and kind != open_type:
            if scheme != "iob1":
                _continues_nothing(tag, out[-1] if out else "O", scheme, path, line)
            as_bio2 = "B"
        out.append(f"{as_bio2}-{kind}")
        open_type = "" if prefix in "ESLU" else kind
    return out


def _parts(tag: str, scheme: TagScheme, path: object, line: int) -> tuple[str, str]:
    """Prefix and type of a tag that is not O."""

    def wrong(problem: str, remedy: str) -> UserError:
        return UserError(f"`{tag[:40]}` {problem}", file=path, line=line, key=tag[:40], remedy=remedy)

    if _TWO.search(tag):
        raise wrong(
            "gives a token two tags: these entities are nested or overlap", "keep one layer, e.g. the outermost"
        )
    match = _TAG.fullmatch(tag)
    if match and match[1] in _PREFIXES[scheme]:
        return match[1], match[2]
    if match:
        other = "iobes" if match[1] in "ES" else "bilou"
        raise wrong(f"is no tag of {scheme.upper()}, it looks like {other.upper()}", _KEY.format(other))
    named = " or ".join(["O", *(f"{prefix}-TYPE" for prefix in _PREFIXES[scheme])])
    raise wrong(f"is not a {scheme.upper()} tag", f"tags are {named}; the last column must hold them")


def _continues_nothing(tag: str, previous: str, scheme: TagScheme, path: object, line: int) -> NoReturn:
    guess = ", so this looks like IOB1" if scheme == "bio2" else ""
    remedy = "begin each entity with B-" + (f"; {_KEY.format('iob1')}" if guess else "")
    problem = f"`{tag}` continues nothing: the tag before it is `{previous}`{guess}"
    raise UserError(problem, file=path, line=line, key=tag, remedy=remedy)


class ColumnCheck:
    """Detects files whose last column holds inner entities, or whose first column holds token numbers.

    They would otherwise be read wrongly: inner entities as the gold, numbers as the words.
    """

    def __init__(self) -> None:
        self.counts = True
        self.widest = 0
        self.other: set[str] | None = set()  # types of the second last column; None: it does not hold tags
        self.own: set[str] = set()

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Add the lines of a sentence."""
        self.widest = max(self.widest, *(len(row) for row in rows))
        self.counts = self.counts and all(row[0] == str(i) for i, row in enumerate(rows, 1))
        for row in rows:
            if self.other is not None and (len(row) < 3 or not (row[-2] == "O" or _TAG.fullmatch(row[-2]))):
                self.other = None
            for tag, types in ((row[-1], self.own), (row[-2] if self.other is not None else "O", self.other)):
                if types is not None and (match := _TAG.fullmatch(tag)):
                    types.add(match[2])

    def check(self, path: object) -> None:
        """Raise a UserError if the file has such columns."""
        if self.counts and self.widest >= 3:
            remedy = "write the token first and its tag last"
            raise UserError("the first column counts tokens instead of holding them", file=path, remedy=remedy)
        if self.other and self.other & self.own:
            both = ", ".join(sorted(self.other & self.own))
            raise UserError(
                f"the last two columns both hold entities ({both}): this is nested gold",
                file=path,
                remedy="keep one layer, e.g. token and outer tag: cut -f1,2",
            )
