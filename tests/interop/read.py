"""read.py FORMAT DIR LANGUAGE...: {language: {split: [[words, [[first, end, type], ...]], ...]}} as the library reads it."""

import json
import sys
from pathlib import Path

SPLITS = ("train", "validation", "test")


def hf(folder: Path, language: str) -> dict:
    from datasets import load_dataset

    data = load_dataset(str(folder), language, cache_dir=str(folder.parent / "cache"))
    names = data["train"].features["ner_tags"].feature

    def spans(tags: list) -> list:
        found: list = []
        for i, tag in enumerate(names.int2str(tags)):
            if tag.startswith("B-"):
                found.append([i, i + 1, tag[2:]])
            elif tag.startswith("I-"):
                found[-1][1] = i + 1
        return found

    return {split: [[row["tokens"], spans(row["ner_tags"])] for row in data[split]] for split in SPLITS}


def flair(folder: Path, language: str) -> dict:
    from flair.datasets import ColumnCorpus

    columns = {0: "text", 1: "ner", 2: "space-after"}
    corpus = ColumnCorpus(folder / language, columns, column_delimiter="\t")
    found = {}
    for split, part in zip(SPLITS, (corpus.train, corpus.dev, corpus.test), strict=True):
        rows = []
        for sentence in part:
            spans = [[s.tokens[0].idx - 1, s.tokens[-1].idx, s.tag] for s in sentence.get_spans("ner")]
            rows.append([[t.text for t in sentence], spans])
        found[split] = rows
    return found


def gliner(folder: Path, language: str) -> dict:
    from gliner import GLiNERConfig
    from gliner.data_processing import UniEncoderSpanProcessor
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")
    )  # no model: what follows comes before subwords
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")
    config = GLiNERConfig(max_width=20, max_len=200, max_neg_type_ratio=0)
    processor = UniEncoderSpanProcessor(config, tokenizer, None)
    found = {}
    for split in SPLITS:
        items = json.loads((folder / language / f"{split}.json").read_text(encoding="utf-8"))
        batch = processor.collate_raw_batch(items)
        rows = []
        for i in range(len(items)):
            names, spans = batch["id_to_classes"][i], []
            for (first, last), label in zip(
                batch["span_idx"][i].tolist(), batch["span_label"][i].tolist(), strict=True
            ):
                if label > 0:
                    spans.append([first, last + 1, names[label]])
            rows.append([list(batch["tokens"][i]), spans])
        found[split] = rows
    return found


def spacy(folder: Path, language: str) -> dict:
    from spacy import blank
    from spacy.training import Corpus

    try:
        nlp = blank(language)
    except ImportError:
        nlp = blank("xx")
    found = {}
    for split in SPLITS:
        docs = [example.reference for example in Corpus(folder / language / f"{split}.spacy")(nlp)]
        found[split] = [[[t.text for t in doc], [[e.start, e.end, e.label_] for e in doc.ents]] for doc in docs]
    return found


if __name__ == "__main__":
    _, format, place, *languages = sys.argv
    print(json.dumps({x: globals()[format](Path(place), x) for x in languages}))
