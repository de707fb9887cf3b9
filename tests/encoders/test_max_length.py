"""A row of the maximum length fits into the position table of each type of model, and a longer row does not."""

import pytest
import torch
import transformers

from xner_ray.encoders.engine_base import POSITIONS_BEHIND_PADDING
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import TorchEngine

POSITIONS = 24
SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": POSITIONS,
}
# What the defaults of a type would make large, or leave unset.
MORE = {
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 4},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 4, "visual_embed": False},
    "longformer": {"attention_window": [4]},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 8},
    "markuplm": {"max_depth": 2, "xpath_unit_hidden_size": 4},
    "xmod": {"default_language": "en_XX"},
}


def engine_of(model_type, pad_token_id):
    config = transformers.AutoConfig.for_model(
        model_type, **SIZES, **MORE.get(model_type, {}), pad_token_id=pad_token_id
    )
    return TorchEngine(transformers.AutoModelForTokenClassification.from_config(config), 1024, "fp32", "cpu")


@pytest.mark.parametrize(
    ("model_type", "pad_token_id"), [*((kind, 1) for kind in POSITIONS_BEHIND_PADDING), ("roberta", 5), ("bert", 1)]
)
def test_a_row_of_the_maximum_length_fits(model_type, pad_token_id):
    engine = engine_of(model_type, pad_token_id)
    assert len(engine.probabilities(Ragged.from_rows([[7] * engine.max_length]))) == engine.max_length
    longer = torch.full((1, engine.max_length + 1), 7)
    with pytest.raises((IndexError, RuntimeError)), torch.inference_mode():
        engine.model(input_ids=longer)
