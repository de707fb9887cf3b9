"""The tiny encoder is the same in each call, and its tokenizer restores its input."""

import unicodedata

import pytest

from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.encoders.testing.tiny import HIDDEN, LAYERS, make_tiny_encoder

TEXTS = [
    "Angela Merkel besuchte 1997 die Universität von Łódź.",
    "安娜·凯勒在慕尼黑说：“你好！”",
    "¿Qué pasó, señor O'Neill?",
]


def test_two_calls_write_the_same_bytes(tiny_encoder, tmp_path):
    again = make_tiny_encoder(tmp_path)
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in tiny_encoder.iterdir())
    for file in tiny_encoder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_restore_the_text(tiny_encoder, text):
    tokenizer = load_tokenizer(tiny_encoder)
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.unk_token_id not in encoded["input_ids"]
    restored = tokenizer.decode(encoded["input_ids"], skip_special_tokens=True)
    assert restored == unicodedata.normalize("NFKC", text)
    assert max(end for _, end in encoded["offset_mapping"]) == len(text)


def test_pairs_have_two_segments(tiny_encoder):
    encoded = load_tokenizer(tiny_encoder)("Munich", "München ist schön")
    assert set(encoded["token_type_ids"]) == {0, 1}
    assert encoded["input_ids"].count(2) == 3  # <s> A </s></s> B </s>


def test_loads_as_a_token_classifier(tiny_encoder):
    model = load_model(tiny_encoder, ["O", "B-PER", "I-PER"])
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.num_labels) == (HIDDEN, LAYERS, 3)
