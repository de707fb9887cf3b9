"""A trimmed encoder gives the same results for text in its scripts, with fewer pieces."""

import json
import shutil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from xner_ray.encoders.load import encoder_folder
from xner_ray.encoders.vocab_trimming import in_scripts, pieces_fused_with_particles, trimmed_folder
from xner_ray.storage.fingerprint import hash_folder
from xner_ray.text.languages import script_ranges


def test_trimmed_encoder_gives_the_same_results(tiny_encoder, texts, encode, tmp_path):
    latin = [t for t in texts if t.isascii()]
    trimmed = trimmed_folder(tiny_encoder, ["en", "de"], tmp_path)
    assert trimmed != tiny_encoder
    full, small = (encode(folder, latin, precision="fp32") for folder in (tiny_encoder, trimmed))
    weights = {k: v for k, v in full.engine.model.state_dict().items() if "word_emb" not in k}
    small.engine.model.load_state_dict(weights, strict=False)
    vocabulary, small_vocabulary = (x.tokenizer.backend.get_vocab() for x in (full, small))
    assert len(vocabulary) > len(small_vocabulary)
    pieces = {i: p for p, i in vocabulary.items()}
    small_pieces = {i: p for p, i in small_vocabulary.items()}
    assert [pieces[i] for i in full.ids.values] == [small_pieces[i] for i in small.ids.values]
    assert np.allclose(full.engine.probabilities(full.ids), small.engine.probabilities(small.ids), atol=1e-5)
    assert trimmed_folder(tiny_encoder, ["en", "de"], tmp_path) == trimmed


def test_pieces_fused_with_particles():
    words = ["\u2581", "在", "中国", "的", "美国", "目的", "在线", "人", "法国人", "中", "美"]
    pieces = [*words, "在中国", "\u2581在中国", "美国的", "中国人", "中美"]
    assert pieces_fused_with_particles(pieces, ["de", "zh"]) == set(pieces) - set(words)
    assert pieces_fused_with_particles(pieces, ["de", "ja"]) == set()


def test_names_are_tokens_without_fused_pieces(tmp_path):
    """With the bundled encoder: a fused piece is replaced by its two parts."""
    folder = encoder_folder("embedded")
    text, languages = "公司在中国的工作对美国的访问是中美关系", ["en", "zh"]

    def token_texts(folder):
        tokenizer = FastTokenizer.from_file(str(folder / "tokenizer.json"))
        return {text[a:b] for a, b in tokenizer.encode(text, add_special_tokens=False).offsets}

    names = {"中国", "美国", "中", "美"}
    trimmed = trimmed_folder(folder, languages, tmp_path)
    assert names <= token_texts(trimmed) and not names & token_texts(folder)
    assert trimmed_folder(folder, ["en", "de"], tmp_path) != trimmed


def test_encoder_of_an_unknown_script_is_copied_whole(tiny_encoder, tmp_path):
    assert script_ranges(["de", "xx"]) is None
    whole = trimmed_folder(tiny_encoder, ["en", "xx"], tmp_path)
    assert whole.parent == tmp_path and hash_folder(whole) == hash_folder(tiny_encoder)


def test_encoder_with_another_tokenizer_is_copied_whole(tiny_encoder, tmp_path):
    folder = tmp_path / "bpe"
    shutil.copytree(tiny_encoder, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"] = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    whole = trimmed_folder(folder, ["en", "de"], tmp_path / "cache")
    assert whole.parent == tmp_path / "cache" and hash_folder(whole) == hash_folder(folder)


@settings(max_examples=50)
@given(st.text(st.characters(max_codepoint=0x17F), max_size=5))
def test_latin_pieces_are_always_kept(piece):
    assert in_scripts(piece, script_ranges(["zh"]))
