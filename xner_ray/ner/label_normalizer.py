"""Labels of other people's taggers in our words: any scheme and any names become O, B-X and I-X.

IO, IOB, BIO2, BIOES and BILOU differ in how they mark the ends of an entity; for decoding it is enough to know where one
begins, so S- and U- are read as B-, E- and L- as I-. A label without prefix (IO) is I-: an I- that continues nothing begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from xner_ray.errors import UserError

_PREFIXES = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}


def our_labels(own: Sequence[str], label_map: Mapping[str, str], without: Sequence[str] = ()) -> list[str]:
    """What each label of a model means here.

    Args:
        own: its labels in the order of their ids.
        label_map: our type for one of its types (`PERSON: PER`), or our label for a whole label (`LABEL_1: B-PER`); `O` drops.
        without: our types that become O.

    Returns:
        O, B-X or I-X for each; several may mean the same.

    Raises:
        UserError: a key that is none of its types or labels, labels without meaning (LABEL_1), or nothing is left.
    """
    unused = set(label_map)
    found = []
    for label in own:
        prefix, kind = _parts(label)
        if label in label_map:
            unused.discard(label)
            prefix, kind = _parts(label_map[label])
        elif kind in label_map:
            unused.discard(kind)
            kind = label_map[kind]
        elif re.fullmatch(r"LABEL_\d+", label):
            raise UserError(
                f"`{label}` has no meaning", key="teacher.label_map", remedy=f"write e.g. {{{label}: B-PER}}"
            )
        found.append("O" if kind in ("O", "") or kind in without else f"{prefix}-{kind}")
    if unused:
        types = sorted({_parts(label)[1] for label in own} - {"O", ""})
        raise UserError(
            f"the model has no type `{min(unused)}`",
            key="teacher.label_map",
            remedy=f"its types are {', '.join(types)}",
        )
    if set(found) <= {"O"}:
        raise UserError(
            "every type becomes O, so nothing is left to label", key="teacher.label_map", remedy="keep one"
        )
    return found


def _parts(label: str) -> tuple[str, str]:
    """(B or I, type) of a label; the type of O is O."""
    match = re.fullmatch(r"([BIESLU])[-_](.+)", label)
    return (_PREFIXES[match[1]], match[2]) if match else ("I", label)
