"""Fixtures of the benchmark tests."""

import pytest


@pytest.fixture(scope="session")
def tiny_models(tiny_encoder, tmp_path_factory):
    """Folders of a teacher and an aligner with random heads. The aligner has an untrained similarity."""
    import torch

    from xner_ray.alignment.decoding import Decoding
    from xner_ray.alignment.projector import LABELS
    from xner_ray.alignment.projector_file import save_projector
    from xner_ray.encoders.load import load_model, save_tokenizer
    from xner_ray.text.tags import label_list

    folders = []
    for name, labels in (("teacher", label_list(["LOC", "PER"])), ("aligner", LABELS)):
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(1)
        model = load_model(tiny_encoder, labels)
        model.classifier.weight.data.mul_(20)
        model.save_pretrained(folder)
        save_tokenizer(tiny_encoder, folder)
        folders.append(folder)
    save_projector(folders[1], Decoding(similarity_weight=0.5), 1, str(tiny_encoder))
    return [str(folder) for folder in folders]
