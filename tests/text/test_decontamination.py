"""Evaluation sentences are found in other data by their letters and digits, within their language."""

import pyarrow as pa

from xner_ray.config import GoldConfig
from xner_ray.text.conll import Sentence
from xner_ray.text.decontamination import EvaluationSentences

CONLL = "Bonn B-LOC\nist O\n１ O\nStadt O\n. O\n\n... O\n"


def held_out(folder) -> EvaluationSentences:
    path = folder / "gold.conll"
    path.write_text(CONLL, encoding="utf-8")
    return EvaluationSentences.from_gold([(GoldConfig(name="dev", language="de", path=str(path)), str(path))])


def test_copies_differ_in_case_width_and_punctuation_only(tmp_path):
    texts = ["BONN IST 1 STADT!", "Bonn ist 2 Stadt", "Bonn ist 1 Stadt", "...", ""]
    languages = ["de", "de", "zh", "de", "de"]
    mask = held_out(tmp_path).contains(pa.array(texts), pa.array(languages))
    assert mask.tolist() == [True, False, False, False, False]


def test_gold_sentences_that_are_evaluated_on_are_found_by_index(tmp_path):
    copy = Sentence(["Bonn", "ist", "1", "Stadt"], ["B-LOC", "O", "O", "O"], "de")
    other = Sentence(["Köln"], ["B-LOC"], "de")
    assert held_out(tmp_path).indices_in([other, copy]) == [1]


def test_nothing_is_held_out_by_default():
    assert not EvaluationSentences().contains(pa.array(["Bonn"]), pa.array(["de"])).any()
