"""Translates names with a sequence-to-sequence model of Transformers: Marian, M2M100, NLLB, mBART, T5 and others.

A multilingual model needs the languages of a call, or it translates into a language of its own choice. Each family spells them
differently: `__de__` (M2M100), `deu_Latn` (NLLB), `de_DE` (mBART), `>>deu<<` before the text (Marian with several targets).
The tokens of the vocabulary show which languages a model knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.encoders.batching import min_cost_batches
from xner_ray.encoders.device_errors import exhausts_memory
from xner_ray.errors import UserError
from xner_ray.language_codes import default_script, known_language, plain_language

Translate = Callable[[list[str]], list[str]]
KEY = "aligner.translator"
MAX_NAME_TOKENS = 48  # of a name and of its translation
GPU_BATCH_TOKENS, CPU_BATCH_TOKENS = 16_384, 1_024  # padded tokens of a batch
_LANGUAGE_TOKEN = re.compile(r"__([a-z]{2,3})__|([a-z]{3}_[A-Z][a-z]{3})|([a-z]{2}_[A-Z]{2})|>>([\w-]+)<<")
_MULTILINGUAL = ("m2m_100", "nllb-moe", "mbart")  # these translate into any language unless a call names one
_SENTENCEPIECE = "pip install 'xner_ray[translator]' here and on the nodes"


class Translator:
    """A translation model on a device. `between` sets the languages.

    Args:
        folder: of `save_pretrained`, or a hub id.
        device: where the model runs; None: the GPU if there is one, else the CPU.
        max_tokens: of a text and of its translation. Longer texts are truncated.
        max_batch_tokens: padded tokens of a batch, with `max_tokens` for each translation; None: by the device.

    Raises:
        UserError: the folder holds no such model, or it cannot be loaded.
    """

    def __init__(
        self,
        folder: str,
        device: str | None = None,
        max_tokens: int = MAX_NAME_TOKENS,
        max_batch_tokens: int | None = None,
    ):
        import torch

        from xner_ray.encoders.folder_check import check_loaded
        from xner_ray.encoders.load import encoder_folder, load_pretrained, quiet_transformers
        from xner_ray.encoders.torch_engine import choose_precision

        self.folder = encoder_folder(folder)
        with quiet_transformers():
            self.tokenizer = _load_tokenizer(self.folder)
            model, info = load_pretrained("AutoModelForSeq2SeqLM", self.folder, output_loading_info=True)
        check_loaded(self.folder, info)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = choose_precision("auto", self.device) if self.device.type == "cuda" else torch.float32
        if dtype == torch.float16:
            dtype = torch.float32  # activations of M2M100 and T5 overflow in fp16
        self.model = model.eval().to(self.device, dtype)
        self.max_tokens = max_tokens
        by_device = GPU_BATCH_TOKENS if self.device.type == "cuda" else CPU_BATCH_TOKENS
        self.max_batch_tokens = max_batch_tokens or by_device

    def between(self, language: str, into: str) -> Translate:
        """A function that translates texts.

        Args:
            language: of the texts, a code of the config.
            into: of the translations, a code of the config.

        Raises:
            UserError: the model does not translate between these languages.
        """
        prefix, source, first_token = _languages(self.tokenizer, self.folder, self.model.config, language, into)
        return partial(self._translate, prefix, source, first_token)

    def _translate(self, prefix: str, source: str | None, first_token: int | None, texts: list[str]) -> list[str]:
        if not texts:
            return []
        if source is not None:
            self.tokenizer.src_lang = source
        # Without `split_special_tokens` a name such as `</s>` would be read as a token of the model.
        options: dict[str, Any] = {"truncation": True, "max_length": self.max_tokens, "split_special_tokens": True}
        ids = self.tokenizer([prefix + text for text in texts], **options)["input_ids"]
        lengths = np.array([len(row) for row in ids], np.int64) + self.max_tokens
        translations = [""] * len(texts)
        for batch in min_cost_batches(lengths, self.max_batch_tokens):
            for row, translation in zip(batch, self._generate([ids[i] for i in batch], first_token), strict=True):
                translations[row] = translation
        return translations

    def _generate(self, rows: list[list[int]], first_token: int | None) -> list[str]:
        """Translate a batch; in halves if the memory of the GPU is exhausted."""
        import torch

        padded = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self.device)
        options: dict[str, Any] = {"max_new_tokens": self.max_tokens, "num_beams": 1, "do_sample": False}
        if first_token is not None:
            options["forced_bos_token_id"] = first_token
        try:
            with torch.inference_mode():
                generated = self.model.generate(
                    input_ids=padded["input_ids"], attention_mask=padded["attention_mask"], **options
                )
        except RuntimeError as e:
            if len(rows) == 1 or not exhausts_memory(e):
                raise
        else:
            return self.tokenizer.batch_decode(generated, skip_special_tokens=True)
        half = len(rows) // 2  # outside of `except`, whose traceback holds the tensors
        return self._generate(rows[:half], first_token) + self._generate(rows[half:], first_token)


def _load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder. Those of Marian and M2M100 need sentencepiece, and Transformers does not always say so."""
    import importlib.util

    from xner_ray.encoders.load import load_pretrained

    if importlib.util.find_spec("sentencepiece") is None and not (folder / "tokenizer.json").exists():
        files = sorted(f.name for pattern in ("*.spm", "*.model") for f in folder.glob(pattern))
        if files:
            problem = f"`{files[0]}` is a vocabulary of sentencepiece, which is not installed"
            raise UserError(problem, file=folder, key=KEY, remedy=_SENTENCEPIECE)
    return load_pretrained("AutoTokenizer", folder)


def _languages(
    tokenizer: Any, folder: Path, config: Any, language: str, into: str
) -> tuple[str, str | None, int | None]:
    """The prefix of each text, the value of `src_lang`, and the first token of each translation."""
    tokens = _language_tokens(tokenizer)
    if not tokens:
        if config.model_type in _MULTILINGUAL:
            remedy = "copy the tokenizer files of the model's repository into the folder"
            raise UserError("the tokenizer has no tokens of languages", file=folder, key=KEY, remedy=remedy)
        _check_direction(tokenizer, folder, language, into)
        return "", None, None
    if all(token.startswith(">>") for token in tokens.values()):  # Marian: the target alone is named
        _check_direction(tokenizer, folder, language, None)
        return f"{tokens[_find(into, tokens, folder)]} ", None, None
    source, target = _find(language, tokens, folder), _find(into, tokens, folder)
    return "", source, tokenizer.convert_tokens_to_ids(tokens[target])


def _language_tokens(tokenizer: Any) -> dict[str, str]:
    """The tokens of languages in a vocabulary, by the model's code. Empty for a model of one direction."""
    tokens: dict[str, str] = {}
    # Only these attributes list language tokens: a vocabulary of words may hold `de_DE` too.
    listed: Iterable[str] = getattr(tokenizer, "supported_language_codes", ())
    if hasattr(tokenizer, "src_lang"):
        known = getattr(tokenizer, "lang_token_to_id", {})
        listed = [*known, *tokenizer.get_added_vocab(), *tokenizer.all_special_tokens]
    for token in listed:
        if match := _LANGUAGE_TOKEN.fullmatch(token):
            tokens.setdefault(next(filter(None, match.groups())), token)
    return tokens


def _find(wanted: str, tokens: dict[str, str], folder: Path) -> str:
    """The model's code of a language: the same language and script, or the same language in the same script.

    Raises:
        UserError: the model does not know the language.
    """
    normalized = known_language(wanted) or wanted
    codes = {code: known_language(code.removesuffix("_XX")) for code in tokens}
    same = [code for code, known in codes.items() if known == normalized]
    same += [
        code
        for code, known in codes.items()
        if known
        and plain_language(known) == plain_language(normalized)
        and default_script(known) == default_script(normalized)
    ]
    if same:
        return same[0]
    listing = ", ".join(sorted(codes))
    remedy = f"give a model that knows `{wanted}`, or remove the source `translator`; this model knows {listing}"
    raise UserError(f"the model does not know the language `{wanted}`", file=folder, key=KEY, remedy=remedy)


def _check_direction(tokenizer: Any, folder: Path, language: str, into: str | None) -> None:
    """Compare the direction that the tokenizer names. A group of languages, such as `mul` or `roa`, has no two-letter code."""
    for names, word, wanted in (
        (("source_lang", "src_lang"), "from", language),
        (("target_lang", "tgt_lang"), "to", into),
    ):
        named = next((x for name in names if isinstance(x := getattr(tokenizer, name, None), str)), "")
        found = plain_language(named)
        if wanted and len(found) == 2 and found != plain_language(wanted):
            problem = f"the model translates {word} `{found}`, and `{wanted}` is needed"
            remedy = f"give a model that translates from `{language}`" + (f" to `{into}`" if into else "")
            raise UserError(problem, file=folder, key=KEY, remedy=remedy)
