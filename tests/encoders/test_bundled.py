"""The 4-bit file is decoded correctly: translations have similar embeddings, and tokens restore their text."""

import numpy as np
import pytest

from xner_ray.encoders.bundled import SHA256, bundled_folder, decode
from xner_ray.encoders.load import quiet_transformers
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.errors import UserError

PAIRS = [
    (
        "The president visited the capital yesterday.",
        "Der Präsident besuchte gestern die Hauptstadt.",
        "总统昨天访问了首都。",
    ),
    ("Shares fell sharply on the stock exchange.", "Die Aktien an der Börse fielen stark.", "股市大幅下跌。"),
    ("She speaks three languages.", "Sie spricht drei Sprachen.", "她会说三种语言。"),
    ("The river flooded the whole village.", "Der Fluss überschwemmte das ganze Dorf.", "河水淹没了整个村庄。"),
    ("My brother bought a new car.", "Mein Bruder hat ein neues Auto gekauft.", "我哥哥买了一辆新车。"),
    (
        "The team won the final in extra time.",
        "Die Mannschaft gewann das Finale in der Verlängerung.",
        "球队在加时赛中赢得了决赛。",
    ),
    (
        "Scientists found a new kind of beetle.",
        "Forscher haben eine neue Käferart entdeckt.",
        "科学家发现了一种新甲虫。",
    ),
    ("Would you like some more coffee?", "Möchten Sie noch etwas Kaffee?", "您要再来点咖啡吗？"),
]


@pytest.fixture(scope="module")
def folder():
    return bundled_folder()


def test_translations_are_nearest_neighbors(folder):
    from transformers import AutoModel

    with quiet_transformers():
        engine = TorchEngine(
            AutoModel.from_pretrained(folder, add_pooling_layer=False), precision="fp32", device="cpu"
        )
    tokenizer = Tokenizer(folder)

    def embed(texts):
        ids = tokenizer.with_special_tokens(tokenizer(texts).ids)
        states = engine.hidden_states(ids, engine.model.config.num_hidden_layers)
        means = np.stack([states[a:b].mean(axis=0) for a, b in zip(ids.offsets[:-1], ids.offsets[1:], strict=True)])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    english = embed([p[0] for p in PAIRS])
    for side in (1, 2):
        nearest = (english @ embed([p[side] for p in PAIRS]).T).argmax(axis=1)
        assert nearest.tolist() == list(range(len(PAIRS)))


def test_tokens_restore_the_text(folder):
    tokenizer = Tokenizer(folder)
    texts = [side for pair in PAIRS for side in pair]
    tokens = tokenizer(texts)
    for row, text in enumerate(texts):
        assert tokenizer.backend.decode(tokens.ids[row].tolist()) == tokenizer.backend.normalizer.normalize_str(text)
        at = slice(tokens.ids.offsets[row], tokens.ids.offsets[row + 1])
        covered = "".join(text[a:b] for a, b in zip(tokens.starts[at], tokens.ends[at], strict=True))
        assert covered == text.replace(" ", "")


def test_normalization_equals_that_of_xlmr(folder):
    backend = Tokenizer(folder).backend
    assert backend.normalizer.normalize_str("Ｋöln\u200b\u00a0 ﬁn\u0007") == "Köln fin"


def test_wrong_magic_number_is_an_error():
    with pytest.raises(UserError, match="magic"):
        decode(b"E5S2" + bytes(200))


def test_hash_is_part_of_the_cache_name(folder):
    assert SHA256[:12] in folder.name
