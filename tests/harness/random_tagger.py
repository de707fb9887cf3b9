"""A model folder of a tagger whose random head predicts every label."""

from __future__ import annotations

from pathlib import Path

from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.model_languages import store_languages
from xner_ray.text.tags import label_list


def save_random_tagger(encoder: str | Path, folder: Path) -> Path:
    """Save a German tagger of LOC and PER, as a training does. Its weights are large enough to predict entities.

    Args:
        encoder: folder of the encoder.
        folder: of the tagger.

    Returns:
        `folder`.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = load_model(encoder, label_list(["LOC", "PER"]))
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(folder)
    save_tokenizer(encoder, folder)
    store_languages(folder, ["de"])
    return folder
