"""Tagging schemes and their conversion to BIO2. The user names the scheme. Only BMES is recognized, by its M-.

iob1    I- also begins an entity; B- only separates it from one of the same type directly before it
iobes   S- is an entity of one token, E- ends a longer one
bilou   the same with U- and L-
bmes    the same as iobes, with M- for I-
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

from xner_ray.config import TagScheme
from xner_ray.errors import UserError

logger = logging.getLogger(__name__)
_PREFIXES: dict[TagScheme, dict[str, str]] = {
    "bio2": {"B": "B", "I": "I"},
    "iob1": {"B": "B", "I": "I"},
    "iobes": {"B": "B", "I": "I", "E": "I", "S": "B"},
    "bilou": {"B": "B", "I": "I", "L": "I", "U": "B"},
    "bmes": {"B": "B", "M": "I", "E": "I", "S": "B"},
}
TAG = re.compile(r"([BIESLUM])-(\S+)")
_TWO = re.compile(r"[|#;,+/&](?:O$|O[|#;,+/&]|[BIESLUM]-)")  # B-ORG|B-LOC: two tags on one token
_STRAY_RATIO = 0.001  # of the entities may begin with I-, as one of the official Weibo test does; more mean IOB1
_MIN_ENTITIES = 100  # below this no entity may
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


def scheme_of(tags: Iterable[str], scheme: TagScheme) -> TagScheme:
    """The scheme of a file's tags: `bmes` where the default is asked for and a tag begins with M-, else `scheme`."""
    return "bmes" if scheme == "bio2" and any(tag.startswith("M-") for tag in tags) else scheme


def to_bio2(
    sentences: Sequence[Sequence[str]], scheme: TagScheme, path: object, lines: Sequence[Sequence[int]]
) -> list[list[str]]:
    """Convert the tags of a file to BIO2.

    Args:
        sentences: tags of the scheme.
        scheme: the scheme.
        path: the file, for errors.
        lines: line number of each tag, for errors.

    A few entities of BIO2 that begin with I- are read as conlleval does, with a warning in the log.

    Raises:
        UserError: a tag does not belong to the scheme or continues no entity, or a token has two tags.
    """
    strays: list[tuple[str, str, int]] = []
    converted = [_convert(tags, scheme, path, own, strays) for tags, own in zip(sentences, lines, strict=True)]
    if strays:
        entities = sum(tag.startswith("B-") for tags in converted for tag in tags)
        limit = max(1, int(_STRAY_RATIO * entities)) if entities >= _MIN_ENTITIES and scheme == "bio2" else 0
        if len(strays) > limit:
            raise _continues_nothing(*strays[0], f"{len(strays)} of {entities} entities begin so", scheme, path)
        numbers = ", ".join(str(line) for *_, line in strays)
        logger.warning("%s: entities in lines %s begin with I-; they are read as B-, as conlleval does", path, numbers)
    return converted


def _convert(
    tags: Sequence[str], scheme: TagScheme, path: object, lines: Sequence[int], strays: list[tuple[str, str, int]]
) -> list[str]:
    """The tags of a sentence as BIO2. An I- that continues no entity, the tag before, and its line are added to `strays`."""
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
                strays.append((tag, out[-1] if out else "O", line))
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
    match = TAG.fullmatch(tag)
    if match and match[1] in _PREFIXES[scheme]:
        return match[1], match[2]
    if match:
        other = {"E": "iobes", "S": "iobes", "M": "bmes", "I": "iobes"}.get(match[1], "bilou")
        raise wrong(f"is no tag of {scheme.upper()}, it looks like {other.upper()}", _KEY.format(other))
    named = " or ".join(["O", *(f"{prefix}-TYPE" for prefix in _PREFIXES[scheme])])
    raise wrong(f"is not a {scheme.upper()} tag", f"tags are {named}; the last column must hold them")


def _continues_nothing(
    tag: str, previous: str, line: int, how_many: str, scheme: TagScheme, path: object
) -> UserError:
    guess = ", so this looks like IOB1" if scheme == "bio2" else ""
    remedy = "begin each entity with B-" + (f"; {_KEY.format('iob1')}" if guess else "")
    problem = f"`{tag}` continues nothing: the tag before it is `{previous}`{guess} ({how_many})"
    return UserError(problem, file=path, line=line, key=tag, remedy=remedy)
