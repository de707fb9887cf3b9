"""Translators with random weights and the real tokenizers of Marian, M2M100, NLLB and mBART."""

from __future__ import annotations

import json
import shutil
import sys
from functools import cache

import pytest

from xner_ray.alignment.examples.translator import Translator
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight.probes import check_translator, run_checks

spm = pytest.importorskip("sentencepiece")
TEXTS = ["Rom", "Berlin-Mitte", "Ulm", "Die Bank von England", "Anna Keller", "Wien"]
SIZES = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 16))}
SIZES |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_model": 16, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """The file of a sentencepiece model, and its pieces."""
    folder = tmp_path_factory.mktemp("spm")
    sentences = [f"{a} and {b} went to {c} < / >" for a in TEXTS for b in TEXTS for c in TEXTS]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(folder / "m"),
        vocab_size=60,
        minloglevel=2,
        model_type="bpe",
    )
    model = spm.SentencePieceProcessor(model_file=str(folder / "m.model"))
    return folder / "m.model", [model.id_to_piece(i) for i in range(3, model.get_piece_size())]


def save_marian(folder, vocabulary, tokens=(), **languages):
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    file, pieces = vocabulary
    words = {token: i for i, token in enumerate(["</s>", "<unk>", *tokens, *pieces, "<pad>"])}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    for name in ("source.spm", "target.spm"):
        shutil.copy(file, folder / name)
    names = (folder / "source.spm", folder / "target.spm", folder / "vocab.json")
    MarianTokenizer(*map(str, names), **languages).save_pretrained(folder)
    pad = words["<pad>"]
    config = MarianConfig(vocab_size=len(words), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, **SIZES)
    MarianMTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def marian(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("marian") / "de-en"
    return save_marian(folder, vocabulary, source_lang="deu", target_lang="eng")


@pytest.fixture(scope="module")
def m2m100(vocabulary, tmp_path_factory):
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    file, pieces = vocabulary
    folder = tmp_path_factory.mktemp("m2m100")
    words = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    (folder / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    shutil.copy(file, folder / "sentencepiece.bpe.model")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    config = M2M100Config(vocab_size=len(words) + 108, decoder_start_token_id=2, **SIZES)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nllb(vocabulary, tmp_path_factory):
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    folder = tmp_path_factory.mktemp("nllb")
    words = {
        token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys("▁" + "".join(TEXTS))])
    }
    tokenizer = NllbTokenizer(vocab=words, merges=[])
    tokenizer.save_pretrained(folder)
    config = M2M100Config(vocab_size=len(tokenizer), decoder_start_token_id=2, **SIZES)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def recorded(translator, monkeypatch):
    """The calls of `generate`: input ids as texts, and the forced first token."""
    calls, generate = [], translator.model.generate

    def record(**options):
        rows = [translator.tokenizer.convert_ids_to_tokens(row) for row in options["input_ids"].tolist()]
        first = options.get("forced_bos_token_id")
        calls.append((rows, first and translator.tokenizer.convert_ids_to_tokens(first)))
        generated = generate(**options)
        if first is not None:
            assert (generated[:, 1] == first).all()
        return generated

    monkeypatch.setattr(translator.model, "generate", record)
    return calls


@pytest.mark.parametrize(
    ("family", "source", "target"), [("m2m100", "__de__", "__en__"), ("nllb", "deu_Latn", "eng_Latn")]
)
def test_a_multilingual_model_gets_both_languages(request, monkeypatch, family, source, target):
    translator = Translator(str(request.getfixturevalue(family)), max_tokens=8)
    calls = recorded(translator, monkeypatch)
    names = translator.between("de", "en")(TEXTS)
    assert len(names) == len(TEXTS) and all(isinstance(name, str) for name in names)
    assert all(row[0] == source for rows, _ in calls for row in rows)
    assert {first for _, first in calls} == {target}


def test_one_model_translates_between_several_languages(nllb, monkeypatch):
    translator = Translator(str(nllb), max_tokens=6)
    calls = recorded(translator, monkeypatch)
    chinese, arabic = translator.between("zh_TW", "en"), translator.between("ar", "fa")
    for translate in (chinese, arabic, chinese):
        translate(["Rom"])
    assert [(rows[0][0], first) for rows, first in calls] == [
        ("zho_Hant", "eng_Latn"), ("arb_Arab", "pes_Arab"), ("zho_Hant", "eng_Latn"),
    ]  # fmt: skip


@pytest.mark.parametrize("family", ["m2m100", "nllb"])
@pytest.mark.parametrize(("language", "into"), [("sr_Latn", "en"), ("de", "tlh")])
def test_an_unknown_language_is_an_error_with_the_list(request, family, language, into):
    folder = request.getfixturevalue(family)
    with pytest.raises(UserError) as e:
        Translator(str(folder)).between(language, into)
    assert str(e.value.file) == str(folder) and e.value.key == "aligner.translator"
    assert "fra_Latn" in e.value.remedy or ", fr," in e.value.remedy


def test_marian_translates_in_its_direction_only(marian):
    translator = Translator(str(marian), max_tokens=6)
    assert len(translator.between("de", "en")(TEXTS)) == len(TEXTS)
    for language, into in (("fr", "en"), ("en", "de"), ("de", "fr")):
        with pytest.raises(UserError, match="translates") as e:
            translator.between(language, into)
        assert e.value.key == "aligner.translator" and f"`{language}`" in e.value.remedy


def test_marian_with_several_targets_gets_the_code_of_the_target(tmp_path, vocabulary, monkeypatch):
    folder = save_marian(tmp_path / "de-x", vocabulary, (">>eng<<", ">>fra<<"), source_lang="deu", target_lang="mul")
    translator = Translator(str(folder), max_tokens=6)
    calls = recorded(translator, monkeypatch)
    translator.between("de", "en")(["Rom"])
    assert calls[0][0][0][0] == ">>eng<<" and calls[0][1] is None
    with pytest.raises(UserError) as e:
        translator.between("de", "es")
    assert "eng, fra" in e.value.remedy


@pytest.mark.parametrize("family", ["marian", "m2m100", "nllb"])
def test_batches_change_nothing_and_keep_the_order(request, monkeypatch, family):
    """Names of similar length share a batch within the budget. A batch of one name is the reference."""
    folder = str(request.getfixturevalue(family))
    translator = Translator(folder, max_tokens=12, max_batch_tokens=200)
    calls = recorded(translator, monkeypatch)
    texts = TEXTS * 3
    single = [Translator(folder, max_tokens=12).between("de", "en")([text])[0] for text in TEXTS]
    assert translator.between("de", "en")(texts) == single * 3
    sizes = [(len(rows), max(map(len, rows))) for rows, _ in calls]
    assert all(n * (longest + 12) <= 200 or n == 1 for n, longest in sizes) and max(n for n, _ in sizes) > 1
    assert [longest for _, longest in sizes] == sorted((longest for _, longest in sizes), reverse=True)


@pytest.mark.parametrize("family", ["marian", "m2m100", "nllb"])
def test_tokens_in_a_text_are_text(request, monkeypatch, family):
    translator = Translator(str(request.getfixturevalue(family)), max_tokens=12)
    calls = recorded(translator, monkeypatch)
    translator.between("de", "en")(["</s>"])
    ((row,), _) = calls[0]
    assert row.count("</s>") == 1  # the end alone


def test_a_batch_that_exhausts_the_memory_is_split(nllb, monkeypatch):
    import torch

    translator = Translator(str(nllb), max_tokens=6)
    expected = translator.between("de", "en")(TEXTS)
    generate = translator.model.generate

    def small_memory(**options):
        if len(options["input_ids"]) > 2:
            raise torch.OutOfMemoryError
        return generate(**options)

    monkeypatch.setattr(translator.model, "generate", small_memory)
    assert translator.between("de", "en")(TEXTS) == expected


@pytest.mark.parametrize("family", ["marian", "m2m100"])
def test_without_sentencepiece_the_error_names_the_extra(request, monkeypatch, family):
    folder = request.getfixturevalue(family)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError) as e:
        Translator(str(folder))
    assert "xner_ray[translator]" in e.value.remedy and e.value.key == "aligner.translator"


def test_a_multilingual_model_without_language_tokens_is_an_error(nllb, tiny_encoder, tmp_path):
    folder = shutil.copytree(nllb, tmp_path / "m")
    for file in [*folder.glob("tokenizer*"), *folder.glob("special*")]:
        file.unlink()
    for file in tiny_encoder.glob("tokenizer*"):
        shutil.copy(file, folder)
    with pytest.raises(UserError, match="tokens of languages"):
        Translator(str(folder)).between("de", "en")


def test_preflight_loads_the_translator(nllb, marian):
    load = cache(Translator)
    for language in ("de", "zh"):
        assert language in check_translator(load, "aligner.translator", str(nllb), language, "en")
    assert load.cache_info().misses == 1
    with pytest.raises(UserError, match="translates from `de`"):
        check_translator(load, "aligner.translator", str(marian), "fr", "en")
    config = load_config(
        "configs/tiny.yaml", [f"aligner.translator={nllb}", "aligner.example_sources={translator: 1}"]
    )
    results = {result.name: result for result in run_checks(config)}
    assert all(results[f"aligner.translator ({language})"].ok for language in config.languages)
