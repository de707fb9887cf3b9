"""The engine gives what a plain loop gives: order, identical questions, windows, precision, trimmed vocabularies."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from xner_ray.encoders.batching import FIXED_COST_DIVISOR, greedy_batches, min_cost_batches, pad_batch, padding_ratio
from xner_ray.encoders.engine_base import deduplicate_rows
from xner_ray.encoders.load import encoder_folder, load_model
from xner_ray.encoders.ragged import Ragged, hstack, ranges, tile_rows
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.encoders.vocab_trimming import in_scripts, pieces_fused_with_particles, trimmed_folder
from xner_ray.encoders.windowing import sliding_windows
from xner_ray.text.languages import script_ranges

rows_strategy = st.lists(st.lists(st.integers(4, 90), min_size=0, max_size=30), max_size=12)


@given(rows_strategy, rows_strategy)
def test_concatenate_is_row_wise(left, right):
    n = min(len(left), len(right))
    joined = hstack([Ragged.from_rows(left[:n]), tile_rows([2, 2], n), Ragged.from_rows(right[:n])])
    assert [joined[i].tolist() for i in range(n)] == [[*a, 2, 2, *b] for a, b in zip(left[:n], right[:n], strict=True)]


@given(rows_strategy, st.randoms())
def test_take_gives_the_rows(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    taken = Ragged.from_rows(rows).take(np.array(order, np.int64))
    assert [taken[i].tolist() for i in range(len(rows))] == [rows[i] for i in order]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 400))
def test_plans_hold_every_row_once_within_budget(lengths, budget):
    check_plan(lengths, budget, greedy_batches(np.array(lengths), budget))
    check_plan(lengths, budget, min_cost_batches(np.array(lengths), budget))


def check_plan(lengths, budget, batches):
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    assert 0 <= padding_ratio(np.array(lengths), batches) < 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(30, 800))
def test_no_cut_of_the_sorted_rows_is_cheaper_than_the_tight_one(lengths, budget):
    def cost(batches):
        return sum(len(b) * max(b) + budget // FIXED_COST_DIVISOR for b in batches)

    rows = sorted(lengths, reverse=True)
    cuts = []
    for chosen in itertools.product([False, True], repeat=len(rows) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(chosen) if cut), len(rows)]
        batches = [rows[a:b] for a, b in itertools.pairwise(edges)]
        if all(len(b) == 1 or len(b) * b[0] <= budget for b in batches):
            cuts.append(cost(batches))
    found = [[lengths[i] for i in batch] for batch in min_cost_batches(np.array(lengths), budget)]
    assert [n for batch in found for n in batch] == rows and cost(found) == min(cuts)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(5, 25), st.integers(0, 12))
def test_windows_cover_every_token(lengths, room, overlap):
    ids = Ragged.from_rows([list(range(100 * i, 100 * i + n)) for i, n in enumerate(lengths)])
    cut = sliding_windows(ids, room, overlap)
    assert cut.ids.lengths.max() <= room
    assert cut.ids.values[cut.positions].tolist() == ids.values.tolist()
    assert cut.windowed_rows == sum(n > room for n in lengths)


def test_pad():
    padded, mask = pad_batch(Ragged.from_rows([[5], [6, 7, 8]]), np.array([1, 0]), 1)
    assert padded.tolist() == [[6, 7, 8], [5, 1, 1]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_ranges():
    assert ranges(np.array([3, 10]), np.array([2, 3])).tolist() == [3, 4, 10, 11, 12]


def test_distinct():
    first, inverse = deduplicate_rows(Ragged.from_rows([[1, 2], [3], [1, 2], [1], [3]]))
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 1]


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    words = ["anna", "lebt", "in", "wien", "und", "arbeitet", "bei", "nordwind", "北京", "ist", "weit"]
    return [" ".join(random.choice(words, size=n)) for n in random.integers(1, 14, size=40)] + ["anna", "anna"]


def probabilities(folder, texts, **settings):
    torch.manual_seed(0)
    engine = TorchEngine(load_model(folder, ["O", "B-PER", "I-PER"]), device="cpu", **settings)
    tokenizer = Tokenizer(folder)
    return engine, tokenizer.with_special_tokens(tokenizer(texts).ids), tokenizer


def test_engine_equals_a_plain_loop(tiny_encoder, texts):
    engine, ids, _ = probabilities(tiny_encoder, texts, max_batch_tokens=100, precision="fp32")
    ours = engine.probabilities(ids)
    with torch.no_grad():
        plain = [
            engine.model(torch.from_numpy(ids[i].astype(np.int64))[None]).logits[0].softmax(-1)
            for i in range(len(ids))
        ]
    assert np.allclose(ours, torch.cat(plain).numpy(), atol=1e-5)
    assert engine.stats.repeated_rows >= 1
    assert engine.stats.tokens <= engine.stats.padded_tokens


def test_budget_does_not_change_results(tiny_encoder, texts):
    engine, ids, _ = probabilities(tiny_encoder, texts, max_batch_tokens=64, precision="fp32")
    small = engine.probabilities(ids)
    engine.max_batch_tokens = 4096
    assert np.allclose(small, engine.probabilities(ids), atol=1e-5)


def test_half_precision_is_close(tiny_encoder, texts):
    engine, ids, _ = probabilities(tiny_encoder, texts, precision="fp32")
    half, _, _ = probabilities(tiny_encoder, texts, precision="bf16")
    assert np.abs(engine.probabilities(ids) - half.probabilities(ids)).max() < 0.02


def test_out_of_memory_halves_the_budget(tiny_encoder, texts, monkeypatch):
    engine, ids, _ = probabilities(tiny_encoder, texts, max_batch_tokens=512, precision="fp32")
    expected, forward = engine.probabilities(ids), engine.model.forward

    def small_device(input_ids, **rest):
        if input_ids.numel() > 130:
            raise torch.OutOfMemoryError("out of memory")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(engine.model, "forward", small_device)
    assert np.allclose(engine.probabilities(ids), expected, atol=1e-5)
    assert engine.stats.oom_backoffs == 2


def test_a_row_longer_than_the_model_is_refused(tiny_encoder):
    engine, _, _ = probabilities(tiny_encoder, ["anna"], precision="fp32")
    with pytest.raises(ValueError, match="200 tokens"):
        engine.probabilities(Ragged.from_rows([[5] * 200]))


def test_trimmed_encoder_gives_the_same(tiny_encoder, texts, tmp_path):
    latin = [t for t in texts if t.isascii()]
    trimmed = trimmed_folder(tiny_encoder, ["en", "de"], tmp_path)
    assert trimmed != tiny_encoder
    engine, ids, tokenizer = probabilities(tiny_encoder, latin, precision="fp32")
    small, small_ids, small_tokenizer = probabilities(trimmed, latin, precision="fp32")
    small.model.load_state_dict(
        {k: v for k, v in engine.model.state_dict().items() if "word_emb" not in k}, strict=False
    )
    assert tokenizer.backend.get_vocab_size() > small_tokenizer.backend.get_vocab_size()
    back = {i: p for p, i in tokenizer.backend.get_vocab().items()}
    small_back = {i: p for p, i in small_tokenizer.backend.get_vocab().items()}
    assert [back[i] for i in ids.values] == [small_back[i] for i in small_ids.values]
    assert np.allclose(engine.probabilities(ids), small.probabilities(small_ids), atol=1e-5)
    assert trimmed_folder(tiny_encoder, ["en", "de"], tmp_path) == trimmed


def test_pieces_that_glue_a_name_to_a_particle():
    words = ["\u2581", "在", "中国", "的", "美国", "目的", "在线", "人", "法国人", "中", "美"]
    pieces = [*words, "在中国", "\u2581在中国", "美国的", "中国人", "中美"]
    assert pieces_fused_with_particles(pieces, ["de", "zh"]) == set(pieces) - set(words)
    assert pieces_fused_with_particles(pieces, ["de", "ja"]) == set()


def test_names_are_pieces_of_their_own(tmp_path):
    """With the encoder that people run: what is left of a glued piece is what it was made of."""
    folder = encoder_folder("embedded")
    text, languages = "公司在中国的工作对美国的访问是中美关系", ["en", "zh"]

    def words_in(folder):
        tokenizer = FastTokenizer.from_file(str(folder / "tokenizer.json"))
        return {text[a:b] for a, b in tokenizer.encode(text, add_special_tokens=False).offsets}

    names = {"中国", "美国", "中", "美"}
    assert names <= words_in(trimmed_folder(folder, languages, tmp_path)) and not names & words_in(folder)
    without = trimmed_folder(folder, ["en", "de"], tmp_path)
    assert without != trimmed_folder(folder, languages, tmp_path)


def test_unknown_script_keeps_all(tiny_encoder, tmp_path):
    assert script_ranges(["de", "xx"]) is None
    assert trimmed_folder(tiny_encoder, ["en", "xx"], tmp_path) == tiny_encoder


@settings(max_examples=50)
@given(st.text(st.characters(max_codepoint=0x17F), max_size=5))
def test_latin_is_always_needed(piece):
    assert in_scripts(piece, script_ranges(["zh"]))
