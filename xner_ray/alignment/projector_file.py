"""projector.json: how the projector in a folder decodes, beside the weights of its aligner.

With this file `xner project --model DIR` and the labeling stage project exactly as it was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import save_similarity
from xner_ray.alignment.score_map import ScoreMap
from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_json

FILE, VERSION, KIND = "projector.json", 8, "aligner"
_REMEDY = "give the folder of a trained aligner, e.g. OUT/aligner/current"


@dataclass(frozen=True)
class ProjectorSettings:
    """Content of projector.json.

    Attributes:
        decoding: how probabilities become spans.
        similarity_layer: of the untrained similarity; 0 without it.
        similarity_weights: by language, where the weight is not that of `decoding`.
        score_maps: by language, and `score_map.ALL`; empty where scores are not calibrated.
    """

    decoding: Decoding
    similarity_layer: int
    similarity_weights: dict[str, float] = field(default_factory=dict)
    score_maps: dict[str, ScoreMap] = field(default_factory=dict)


def save_projector(
    folder: str | Path,
    decoding: Decoding,
    similarity_layer: int | None = None,
    encoder: str = "",
    similarity_weights: Mapping[str, float] | None = None,
    **facts: object,
) -> None:
    """Write projector.json into the folder of a trained aligner, and the similarity's encoder where it is used.

    Args:
        folder: of the aligner.
        decoding: how probabilities become spans.
        similarity_layer: of the untrained similarity.
        encoder: of the similarity: `embedded`, hub id, or folder. It and `similarity_layer` are needed where
            `decoding.similarity_weight` is above 0.
        similarity_weights: by language, where the weight is not that of `decoding`.
        facts: anything else that a reader may want to know, such as languages or scores.
    """
    if decoding.similarity_weight:
        if similarity_layer is None or not encoder:
            raise ValueError("a projector with a similarity needs its encoder and layer")
        save_similarity(encoder, similarity_layer, folder)
    settings = {
        **asdict(decoding),
        "similarity_layer": similarity_layer,
        "similarity_weights": dict(similarity_weights or {}),
    }
    write_json(Path(folder) / FILE, {"version": VERSION, "kind": KIND, **settings, "facts": facts})


def add_score_maps(folder: str | Path, maps: Mapping[str, ScoreMap]) -> None:
    """Write score maps into the projector.json of a folder.

    Args:
        folder: of the aligner.
        maps: by language, and `score_map.ALL`.
    """
    file = Path(folder) / FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {**content, "score_maps": {x: asdict(score_map) for x, score_map in maps.items()}})


def read_projector(folder: str | Path) -> ProjectorSettings:
    """Read projector.json.

    Raises:
        UserError: the file is missing, of another version or kind, or broken.
    """
    file = Path(folder) / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["kind"] != KIND:
            problem = f"is of version {content['version']} and kind `{content['kind']}`, not of kind `{KIND}`"
            raise UserError(problem, file=file, remedy=_REMEDY)
        if content["version"] != VERSION:
            problem = f"is of version {content['version']}, and this version of xner reads {VERSION}"
            raise UserError(problem, file=file, remedy="train the aligner again: `xner aligner CONFIG`")
        decoding = Decoding(**{key: content[key] for key in asdict(Decoding())})
        weights = {str(x): float(weight) for x, weight in content["similarity_weights"].items()}
        # A folder of an older version has no maps.
        maps = {str(x): ScoreMap(**score_map) for x, score_map in content.get("score_maps", {}).items()}
        return ProjectorSettings(decoding, int(content["similarity_layer"] or 0), weights, maps)
    except FileNotFoundError:
        raise UserError("no such file, so the folder holds no projector", file=file, remedy=_REMEDY) from None
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise UserError(f"cannot be read: {type(e).__name__} {e}", file=file, remedy=_REMEDY) from e


def read_languages(folder: str | Path) -> tuple[str | None, list[str]]:
    """The source language of a projector, and the languages of its translations; None and empty where the file lacks them.

    Raises:
        UserError: as `read_projector`.
    """
    read_projector(folder)  # its errors
    facts = json.loads((Path(folder) / FILE).read_text(encoding="utf-8")).get("facts", {})
    return facts.get("source_language"), list(facts.get("languages", ()))
