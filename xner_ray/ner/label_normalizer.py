"""Reads the label lists of models, and maps the labels of other people's models to O, B-X and I-X.

Labels may follow any scheme (IO, IOB, BIO2, BIOES, BILOU) and name types in any way. The schemes differ in how they mark the
ends of an entity. Decoding needs only its start, so S- and U- are read as B-, and E- and L- as I-. A label without a prefix
(IO) is read as I-, because an I- that continues no entity starts one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.encoders.folder_check import read_model_config
from xner_ray.errors import UserError

# Keys of an adopted model's config.json.
NORMALIZED_LABELS = "xner_labels"  # the normalized label of each label, in the order of their ids
TYPE_MAP = "xner_spacy"  # of a spaCy pipeline: from each type to its normalized type, or O
_PREFIXES = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}


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


def normalize_labels(labels: Sequence[str], label_map: Mapping[str, str], drop_types: Sequence[str] = ()) -> list[str]:
    """Normalize the labels of a model.

    Args:
        labels: the model's labels, in the order of their ids.
        label_map: from a type of the model to a type (`PERSON: PER`), or from a label to a label (`LABEL_1: B-PER`). The type
            `O` drops the model's type.
        drop_types: types, after mapping, that become O.

    Returns:
        O, B-X or I-X for each label. Several labels may have the same result.

    Raises:
        UserError: `label_map` has a key that is neither a type nor a label of the model, a label has no type (LABEL_1), or
            all labels become O.
    """
    unused_keys = set(label_map)
    normalized = []
    for label in labels:
        prefix, entity_type = _split_label(label)
        if label in label_map:
            unused_keys.discard(label)
            prefix, entity_type = _split_label(label_map[label])
        elif entity_type in label_map:
            unused_keys.discard(entity_type)
            entity_type = label_map[entity_type]
        elif re.fullmatch(r"LABEL_\d+", label):
            raise UserError(
                f"`{label}` names no entity type", key="teacher.label_map", remedy=f"write e.g. {{{label}: B-PER}}"
            )
        dropped = entity_type in ("O", "") or entity_type in drop_types
        normalized.append("O" if dropped else f"{prefix}-{entity_type}")
    if unused_keys:
        types = sorted({_split_label(label)[1] for label in labels} - {"O", ""})
        raise UserError(
            f"the model has no type `{min(unused_keys)}`",
            key="teacher.label_map",
            remedy=f"its types are {', '.join(types)}",
        )
    if set(normalized) <= {"O"}:
        raise UserError("every label becomes O", key="teacher.label_map", remedy="keep at least one entity type")
    return normalized


def _split_label(label: str) -> tuple[str, str]:
    """(B or I, type) of a label; the type of O is O."""
    match = re.fullmatch(r"([BIESLU])[-_](.+)", label)
    return (_PREFIXES[match[1]], match[2]) if match else ("I", label)
