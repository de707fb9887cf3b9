"""Reads the label lists of models: the only place that interprets a label, for teachers, `tag`, `evaluate` and exports.

A label list may follow any scheme (IO, IOB1, BIO2, BIOES, BILOU, BMES), in any case and any order, with the position before
the type (`B-PER`) or behind it (`PER-B`). The style is a property of the whole list: `E-MAIL` beside `PERSON` is a type. The
schemes differ in how they mark the ends of an entity. Decoding needs only its start, so S-, U- and W- are read as B-, and E-,
L- and M- as I-. A label without a position (IO) is read as I-, because an I- that continues no entity starts one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.encoders.folder_check import read_model_config
from xner_ray.encoders.model_languages import LANGUAGES
from xner_ray.errors import UserError
from xner_ray.text.tags import label_list

SPACY_PREFIX = "spacy:"  # how a user names a spaCy pipeline
# Keys of an adopted model's config.json.
NORMALIZED_LABELS = "xner_labels"  # the normalized label of each label, in the order of their ids
TAG_SCHEME = "xner_scheme"  # bio2: the model was trained by this project, so each entity begins with B-
TYPE_MAP = "xner_spacy"  # of a spaCy pipeline: from each type to its normalized type, or O
_POSITIONS = {"B": "B", "S": "B", "U": "B", "W": "B", "I": "I", "E": "I", "L": "I", "M": "I"}
_BEFORE = re.compile(r"(?P<position>[BIESLUMW])[-\u2013_:./| ](?P<type>.+)", re.IGNORECASE)
_BEHIND = re.compile(r"(?P<type>.+)[-\u2013_:./| ](?P<position>[BIESLUMW])", re.IGNORECASE)
_JOINED = re.compile(r"(?P<position>[BIESLUMW])(?P<type>[^\W\d_].*)")  # BPER
_OUTSIDE = re.compile(r"O|OUTSIDE|\[.*\]|<.*>", re.IGNORECASE)  # [CLS] and <pad> are no entities either
_SUBWORD = "X"  # label of subwords after the first, in lists with positions
_UNNAMED = re.compile(r"(?:LABEL_)?\d*", re.IGNORECASE)
# B, I, O of models of one nameless type, such as key phrases.
_POSITION_ALONE = re.compile(r"[BIESLUMW]", re.IGNORECASE)
_MAX_LISTED = 40  # labels in an error


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config.json of a model folder. Raises: UserError, see `read_model_config`."""
    return read_model_config(folder)


def model_labels(config: Mapping[str, Any]) -> list[str]:
    """The labels of a token classifier in the order of their ids, as its config names them.

    Args:
        config: content of its config.json; without `id2label` the list is empty.
    """
    id2label = config.get("id2label") or {}
    return [id2label[str(i)] for i in range(len(id2label))]


def is_bio2(folder: str | Path) -> bool:
    """Whether a model was trained on BIO2 tags: by this project, or adopted from such a model.

    The labels of other models may follow IOB1 or IO, even if they are named as in BIO2.

    Raises:
        UserError: config.json cannot be read.
    """
    config = read_config(folder)
    if NORMALIZED_LABELS in config:
        return config.get(TAG_SCHEME) == "bio2"
    # Early versions stored no languages. An export to ONNX has no training.json.
    is_ours = LANGUAGES in config or (Path(folder) / "training.json").exists()
    return is_ours and _is_label_list(model_labels(config))


def keeps_bio2(labels: Sequence[str], normalized: Sequence[str]) -> bool:
    """Whether BIO2 tags are BIO2 tags after normalization: both labels of a type become O, or those of another type.

    Args:
        labels: O, B-X, I-X, ... of a model that was trained on BIO2 tags.
        normalized: of each label, see `normalize_labels`.
    """
    if not _is_label_list(labels):
        return False
    new = dict(zip(labels, normalized, strict=True))
    pairs = [(new[x], new[f"I-{x[2:]}"]) for x in labels if x.startswith("B-")]
    return all(begin == inside == "O" or (begin[:2], inside) == ("B-", f"I-{begin[2:]}") for begin, inside in pairs)


def _is_label_list(labels: Sequence[str]) -> bool:
    return list(labels) == label_list(x[2:] for x in labels if x != "O")


def output_labels(folder: str | Path) -> list[str]:
    """The normalized label of each label of a model folder, in the order of their ids: O, B-X or I-X.

    Raises:
        UserError: config.json has no labels, or labels that cannot be understood.
    """
    config = read_config(folder)
    if NORMALIZED_LABELS in config:
        return list(config[NORMALIZED_LABELS])
    try:
        labels = model_labels(config)
        return _checked(labels, [_join(*split) for split in split_labels(labels)])
    except UserError as e:
        remedy = "write what each label means into `id2label` of this file, such as O, B-PER, I-PER"
        raise UserError(e.problem, file=Path(folder) / "config.json", key="id2label", remedy=remedy) from None


def normalize_labels(
    labels: Sequence[str], label_map: Mapping[str, str], drop_types: Sequence[str] = (), are_types: bool = False
) -> list[str]:
    """Normalize the labels of a model that becomes a teacher.

    Args:
        labels: the model's labels, in the order of their ids.
        label_map: from a type of the model to a type (`PERSON: PER`), or from a label to a label (`LABEL_1: B-PER`). The type
            `O` drops the model's type.
        drop_types: types, after mapping, that become O.
        are_types: the labels are types without a position, and O is not among them (spaCy).

    Returns:
        O, B-X or I-X for each label. Several labels may have the same result.

    Raises:
        UserError: `label_map` has a key that is neither a type nor a label of the model, a label has no type (LABEL_1), no
            label is O, all labels become O, or the list cannot be understood.
    """
    try:
        rest = [label for label in labels if label not in label_map]
        split = {x: ("I", x) for x in rest} if are_types else dict(zip(rest, split_labels(rest), strict=True))
        split |= {label: split_labels([label_map[label]])[0] for label in labels if label in label_map}
        types = {kind for label, (_, kind) in split.items() if label in rest} - {"O"}
        unused_keys = set(label_map) - set(labels) - types
        if unused_keys:
            remedy = f"its types are {', '.join(sorted(types))}; its labels are {_listed(labels)}"
            raise UserError(f"the model has no type `{min(unused_keys)}`", remedy=remedy)
        renamed = [
            (position, label_map.get(kind, kind) if label in rest else kind)
            for label, (position, kind) in ((label, split[label]) for label in labels)
        ]
        normalized = ["O" if kind in drop_types else _join(position, kind) for position, kind in renamed]
        return _checked(labels, normalized, has_outside=not are_types)
    except UserError as e:
        raise UserError(e.problem, key="teacher.label_map", remedy=e.remedy) from None


def split_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """(B or I, type) of each label of a list; the type of O is O.

    Raises:
        UserError: it is not clear which labels have a position.
    """
    inside = [x for x in labels if not _OUTSIDE.fullmatch(x)]
    before, behind = (_matches(inside, style) for style in (_BEFORE, _BEHIND))
    matches = max(before, behind, key=len)
    if (mixed := [x for x in {**before, **behind} if x not in matches]) and any(
        x["position"].upper() in "BI" for x in matches.values()
    ):
        example = next(iter(matches))
        raise UserError(
            f"`{example}` and `{mixed[0]}` have their positions on different sides; the labels are {_listed(labels)}",
            remedy=f"write what they mean, e.g. {{{mixed[0]}: I-TYPE}}",
        )
    if not matches:
        joined = _matches(inside, _JOINED)
        is_complete = all("B" in positions and len(positions) > 1 for positions in _positions(joined).values())
        matches = joined if len(joined) == len(inside) and is_complete else {}
    bare = [x for x in inside if x not in matches and x != _SUBWORD]
    if bare and matches:
        # One position alone may be part of a type's name (E-MAIL); several are positions (B-PER, I-PER).
        several = {kind for kind, found in _positions(matches).items() if len(found) > 1 or kind in bare}
        unclear = [label for label, match in matches.items() if match["type"] not in several]
        if several and unclear:
            raise UserError(
                f"`{unclear[0]}` may be a type or a position and a type; the labels are {_listed(labels)}",
                remedy=f"write what it means, e.g. {{{unclear[0]}: B-TYPE}}",
            )
        matches = matches if several else {}
    result = []
    for label in labels:
        match = matches.get(label)
        if match:
            result.append((_POSITIONS[match["position"].upper()], match["type"]))
        else:
            is_outside = _OUTSIDE.fullmatch(label) or (label == _SUBWORD and matches)
            result.append(("I", "O" if is_outside else label))
    return result


def _matches(labels: Sequence[str], style: re.Pattern[str]) -> dict[str, re.Match[str]]:
    matches = {label: style.fullmatch(label) for label in labels if not _UNNAMED.fullmatch(label)}
    return {label: match for label, match in matches.items() if match}


def _positions(matches: Mapping[str, re.Match[str]]) -> dict[str, set[str]]:
    """The positions of each type."""
    positions: dict[str, set[str]] = {}
    for match in matches.values():
        positions.setdefault(match["type"], set()).add(match["position"].upper())
    return positions


def _join(position: str, entity_type: str) -> str:
    return "O" if entity_type == "O" else f"{position}-{entity_type}"


def _checked(labels: Sequence[str], normalized: list[str], has_outside: bool = True) -> list[str]:
    """`normalized`. Raises a UserError if a type has no name, or if there is no entity or nothing outside of entities."""
    listed = f"the labels are {_listed(labels)}"
    for label, result in zip(labels, normalized, strict=True):
        is_position = has_outside and result == f"I-{label}" and _POSITION_ALONE.fullmatch(label)
        if result != "O" and (is_position or _UNNAMED.fullmatch(result[2:])):
            raise UserError(f"`{label}` names no entity type; {listed}", remedy=f"write e.g. {{{label}: B-PER}}")
    if set(normalized) <= {"O"}:
        raise UserError(f"every label becomes O; {listed}", remedy="keep at least one entity type")
    if has_outside and "O" not in normalized:
        remedy = f"name the label that means no entity, e.g. {{{labels[0]}: O}}"
        raise UserError(f"no label means O, outside of entities; {listed}", remedy=remedy)
    return normalized


def _listed(labels: Sequence[str]) -> str:
    more = f", ... ({len(labels)} labels)" if len(labels) > _MAX_LISTED else ""
    return (", ".join(labels[:_MAX_LISTED]) or "none") + more
