"""Everything that depends on a language: one table with one row per language.

Other modules ask `get_language(code)` and never compare language codes themselves (`language_codes.py` does). A language
without a row gets the defaults of `Language`: words between spaces, and a script that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from xner_ray.language_codes import plain_language

Ranges = tuple[tuple[int, int], ...]  # code points, both ends included

LATIN: Ranges = ((0x0, 0x2AF), (0x300, 0x36F), (0x1E00, 0x1EFF), (0xFB00, 0xFB06), (0xFF21, 0xFF5A))
_ARABIC: Ranges = ((0x600, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF))
_CYRILLIC: Ranges = ((0x400, 0x52F),)
_DEVANAGARI: Ranges = ((0x900, 0x97F),)
_GREEK: Ranges = ((0x370, 0x3FF), (0x1F00, 0x1FFF))
_HAN: Ranges = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_HANGUL: Ranges = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF))
_HEBREW: Ranges = ((0x590, 0x5FF), (0xFB1D, 0xFB4F))
_KANA: Ranges = ((0x3040, 0x30FF), (0x31F0, 0x31FF))
_TIBETAN: Ranges = ((0xF00, 0xFFF),)
_THAI: Ranges = ((0xE00, 0xE7F),)


@dataclass(frozen=True)
class Particles:
    """Words that a subword vocabulary fuses with a name beside them, in a language without spaces.

    Attributes:
        before: particles that stand before a name.
        after: particles that stand after a name.
        compounds: abbreviated names written as one word (中美: China and America).
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    compounds: frozenset[str]


@dataclass(frozen=True)
class DerivedEnding:
    """Ending of words that are derived from place names: Berliner of Berlin. All three are RE2 patterns.

    Attributes:
        ending: matches a derived word.
        source_ending: matches source names that end the same way, so that the ending means nothing.
        followed_by: matches the two characters that must follow the word; empty: anything.
    """

    ending: str
    source_ending: str
    followed_by: str


@dataclass(frozen=True)
class Language:
    """What the pipeline knows about one language.

    Attributes:
        code: ISO 639-1, or 639-3 where there is none.
        script: code point ranges of the letters in addition to Latin; empty: Latin alone; None: not known.
        uses_spaces: words are separated by spaces. Otherwise each character is a word.
        logographic: a character is a morpheme, so a sentence has about a third of the characters of its translation.
        organization_heads: nouns behind a place that make it the name of an organization (中国银行).
        capitalizes_nouns: every noun starts with a capital letter, so a capital letter does not suggest a name.
        capital_marks_name: in a compound with a hyphen, a last part in capitals belongs to the name.
        articles: articles in lower case that can stand before a name.
        abbreviations: abbreviations that keep their full stop within a sentence.
        elision: pattern of words that lose their vowel before the next word (l', qu').
        english_clitics: 's, 'll and n't are words of their own.
        ordinal_stops: a number with a full stop is an ordinal (17. Dezember).
        suspended_hyphens: a hyphen at the end of a word belongs to it (Mittel- und Osteuropa).
        german_quotes: “ and « close a quotation that „ and » open.
        colon_suffixes: an ending may follow an abbreviation after a colon (EU:n).
        percent_after_space: a space stands before %.
        derived_ending: ending of words that are derived from place names.
        particles: particles that subword vocabularies fuse with names.
        function_words: lowercase words that no noun phrase contains.
        phrase_connectors: lowercase words that a noun phrase may contain between two other words (of, and).
    """

    code: str
    script: Ranges | None = None
    uses_spaces: bool = True
    logographic: bool = False
    organization_heads: tuple[str, ...] = ()
    capitalizes_nouns: bool = False
    capital_marks_name: bool = False
    articles: tuple[str, ...] = ()
    abbreviations: tuple[str, ...] = ()
    elision: str | None = None
    english_clitics: bool = False
    ordinal_stops: bool = False
    suspended_hyphens: bool = False
    german_quotes: bool = False
    colon_suffixes: bool = False
    percent_after_space: bool = False
    derived_ending: DerivedEnding | None = None
    particles: Particles | None = None
    function_words: frozenset[str] = frozenset()
    phrase_connectors: frozenset[str] = frozenset()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ENGLISH_FUNCTION_WORDS = """
a an the this that these those my your his her its our their some any no every each all both such what which who whom
whose i you he she it we they me him us them myself himself herself itself ourselves yourself themselves one ones
am is are was were be been being do does did done doing have has had having will would shall should can could may might
must to at by from with without within into onto upon about above below under over between among through
during before after since until against toward towards across along around behind beside beyond despite except like
near off out up down as than or but nor so yet if then else when while where why how because although though whether
unless not n't 's 're 've 'll 'd 'm there here now also just only very too more most much many few less least other
another same own again once ever never always often still already even well quite rather almost however therefore thus
please yes said says say told tell got get gets go goes went make makes made take takes took come comes came see saw
know knew
"""

# With the adjectives that stand between a place and its bank or company; simplified and traditional.
_CHINESE_ORGANIZATION_HEADS = tuple(
    adjective + head
    for adjective in ("", *_words("人民 国家 國家 中央 农业 農業 工商 建设 建設 国际 國際 民用 联合 聯合"))
    for head in _words(
        "银行 銀行 大学 大學 学院 學院 科学院 科學院 公司 集团 集團 航空 电视台 電視台 移动 电信 電信 石油 石化"
        " 日报 日報 时报 時報 通讯社 通訊社 新闻社 协会 協會 足协 联盟 聯盟 共产党 共產黨 国民党 國民黨"
    )
)

# Languages of which only the script is known.
_SCRIPT_ONLY: tuple[tuple[str, Ranges], ...] = (
    (
        "af az bs cs cy da eo et eu fy ga gl ha hr hu id ig is jv ku la lt lv mg ms nb nn no ny oc pl ro rw sk sl sn "
        "so sq sw tl tr uz vi xh yo zu",
        (),
    ),
    ("ar fa ur ps ug", _ARABIC),
    ("ru uk bg sr mk be kk", _CYRILLIC),
    ("hi mr ne sa", _DEVANAGARI),
    ("el", _GREEK),
    ("he yi", _HEBREW),
    ("ko", _HANGUL),
)

_ROWS = (
    Language("bo", script=_TIBETAN, uses_spaces=False),
    Language("ca", script=(), elision=r"(?i:\b(?:[dlmnst])['’](?=\w))"),
    Language(
        "de",
        script=(),
        capitalizes_nouns=True,
        articles=("der", "die", "das", "dem", "den", "des"),
        abbreviations=_words(
            "Dr Prof Nr St Hl ca bzw usw etc evtl ggf vgl Bd Abs Art Mio Mrd Str Tel Chr Hrsg Jh II "
            "III IV VI VII VIII IX XI XII"
        ),
        ordinal_stops=True,
        suspended_hyphens=True,
        german_quotes=True,
        percent_after_space=True,
        derived_ending=DerivedEnding(r"\p{L}er$", r"(?i)ers?$", r"^\s\p{Lu}"),  # Berliner Mauer, and not Hannover
    ),
    Language("dz", script=_TIBETAN, uses_spaces=False),
    Language(
        "en",
        script=(),
        abbreviations=_words(
            "Mr Mrs Ms Dr Prof St Jr Sr Gen Col Lt Sgt Gov Sen Rep Rev Corp Inc Ltd Co Bros No vs Jan "
            "Feb Aug Sept Oct Nov Dec etc"
        ),
        english_clitics=True,
        function_words=frozenset(_ENGLISH_FUNCTION_WORDS.split()),
        phrase_connectors=frozenset(_words("of and the for on in")),
    ),
    Language(
        "es",
        script=(),
        articles=("el", "la", "los", "las"),
        abbreviations=_words("Sr Sra Sres Sras Srta Dr Dra Prof Ud Uds Vd Vds Excmo Excma Gral pág núm art etc"),
    ),
    Language("fi", script=(), colon_suffixes=True),
    Language(
        "fr",
        script=(),
        articles=("le", "la", "les"),
        abbreviations=_words("M MM Mme Mmes Mlle Dr Pr Me Mgr St Ste av apr etc env art vol éd p pp"),
        # Not aujourd'hui, where no part is a word by itself.
        elision=r"(?i:\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)['’](?=\w))",
    ),
    Language(
        "it",
        script=(),
        articles=("il", "lo", "la", "i", "gli", "le"),
        elision=r"(?i:\b(?:[cdlmnstv]|un|all|dell|dall|nell|sull|quell|quest|gl|coll|bell|sant)['’](?=\w))",
    ),
    Language(
        "ja",
        script=_HAN + _KANA,
        uses_spaces=False,
        logographic=True,
        organization_heads=_words("銀行 大学 航空 放送 新聞 電力 製鉄 赤十字 協会 連盟 党"),
    ),
    Language("km", uses_spaces=False),
    Language("lb", capitalizes_nouns=True),
    Language("lo", uses_spaces=False),
    Language("my", uses_spaces=False),
    Language(
        "nl",
        script=(),
        capital_marks_name=True,  # Dutch writes nouns in lower case: Groot-Brittannië is a name
        articles=("de", "het"),
        abbreviations=_words("dr drs mr ir prof ds St Dr Mr Prof nr blz bijv enz etc ca resp jl Jr mevr dhr"),
        suspended_hyphens=True,
        derived_ending=DerivedEnding(r"\p{L}(?:se|ers?)$", r"(?i)(?:se|ers?)$", ""),  # Londense, and not Toulouse
    ),
    Language("pt", script=(), articles=("o", "a", "os", "as")),
    Language("sv", script=(), colon_suffixes=True),
    Language("th", script=_THAI, uses_spaces=False),
    Language("yue", uses_spaces=False, logographic=True, organization_heads=_CHINESE_ORGANIZATION_HEADS),
    Language(
        "zh",
        script=_HAN,
        uses_spaces=False,
        logographic=True,
        organization_heads=_CHINESE_ORGANIZATION_HEADS,
        particles=Particles(
            before=tuple("在对與与是和从向到为于由把被让將将给该各这那也就等的"),
            after=(*"的在和是与了对等也都人", "人民", "主义"),
            compounds=frozenset(["中美", "欧美", "港澳", "中方", "美方", "美军"]),
        ),
    ),
)
LANGUAGES: dict[str, Language] = {
    **{code: Language(code, script=script) for codes, script in _SCRIPT_ONLY for code in codes.split()},
    **{row.code: row for row in _ROWS},
}


@cache
def get_language(code: str) -> Language:
    """The row of a language, in any spelling of its code; the defaults of `Language` where the table has none.

    A regional variant has the row of its language: `zh_TW` that of `zh`.
    """
    return LANGUAGES.get(code) or LANGUAGES.get(plain_language(code)) or Language(code)


def script_ranges(codes: Iterable[str]) -> Ranges | None:
    """Code point ranges of all letters of these languages, sorted; Latin is always included.

    Returns:
        None where the script of one of the languages is not known.
    """
    ranges = set(LATIN)
    for code in codes:
        script = get_language(code).script
        if script is None:
            return None
        ranges.update(script)
    return tuple(sorted(ranges))
