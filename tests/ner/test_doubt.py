import pyarrow as pa

from xner_ray.ner.unlabeled_entities import unlabeled_capitalized


def doubts(sentence, tags=None, language="es"):
    words = sentence.split()
    tags = tags or ["O"] * len(words)
    kind = pa.list_(pa.string())
    mask = unlabeled_capitalized(pa.array([["Hoy"], words], kind), pa.array([["O"], tags], kind), language).to_pylist()
    assert mask[0] is False
    return [w for w, m in zip(words, mask[1:], strict=True) if m]


def test_capitals_inside_a_sentence_are_doubtful():
    assert doubts("El Gobierno de Madrid , dijo ( EFE ) .") == ["Gobierno", "Madrid", "EFE"]
    assert doubts("Ella dijo : La casa « Casa » .") == []
    assert doubts("Hoy Madrid duerme", ["O", "B-LOC", "O"]) == []
    assert doubts("él Álvarez ñu") == ["Álvarez"]


def test_nouns_and_scripts_without_case():
    assert doubts("Das Haus der EU", language="de") == []
    assert doubts("中 国 A", language="zh") == ["A"]


def test_nothing():
    kind = pa.list_(pa.string())
    assert len(unlabeled_capitalized(pa.array([], kind), pa.array([], kind), "es")) == 0
