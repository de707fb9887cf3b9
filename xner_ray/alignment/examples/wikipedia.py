"""Examples from the links of a Wikipedia, the paper's other source of names.

The text of a link (`[[Köln|Kölner]]`) is where the name is. The article in the source language that belongs to the linked
article gives the name (`Cologne`). Two files of dumps.wikimedia.org for the target language are needed: `*-langlinks.sql.gz`, and
`*-pages-articles*.xml.bz2` or a part of it. Both are streamed. Memory holds the titles of the first `MAX_TITLES` articles with
a counterpart, which are the oldest and most linked ones. The dump is read twice: up to the last of these articles for the
titles, and for the links until there are enough examples.

Links, apostrophes, references and templates are the only markup that is read. A sentence with other markup is left out, so no
parser of wikitext is needed. A dump has far more sentences than an aligner needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from xml.etree.ElementTree import ParseError, XMLPullParser

from xner_ray.alignment.examples.bootstrap import equal_spans
from xner_ray.alignment.examples.example import PHRASE, Example
from xner_ray.corpora.readers.archive import open_text
from xner_ray.corpora.readers.line_reader import text_blocks
from xner_ray.errors import UserError
from xner_ray.text.languages import get_language

WIKIPEDIA = "wikipedia"  # key of `aligner.example_sources`
DUMP_KEY, LANGLINKS_KEY = "aligner.wikipedia_dump", "aligner.wikipedia_langlinks"
MAX_TITLES = 200_000
MAX_EXAMPLES_PER_NAME = 10
MAX_EXAMPLES_PER_ARTICLE = 20
MIN_CHARACTERS = 20  # of a sentence; shorter ones are captions and headings
_BLOCK = 1 << 20
_MAX_ID_DIGITS = 18
_CODES = {"nb": "no", "yue": "zh-yue"}  # Wikipedias that have another code than their language
_DISAMBIGUATION = re.compile(r"\s*\([^()]*\)$")
# With a limit, because a page may open thousands of references and close none.
_HIDDEN = re.compile(r"<!--.{,2000}?-->|<ref\b[^<>]*/>|<ref\b[^<>]*>.{,2000}?</ref\s*>", re.DOTALL | re.IGNORECASE)
_MAX_PARAGRAPH = 20_000  # characters; a longer one is no text
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_MAX_TEMPLATE_DEPTH = 6
_LINK = re.compile(r"\[\[([^\[\]|#<>\n]+)(?:#[^\[\]|\n]*)?(?:\|([^\[\]|\n]+))?\]\]([^\W\d_]*)")
_APOSTROPHES = re.compile("'{2,}")
_MARKUP = re.compile(r"[\[\]{}|<>=]|-\{|__|~~")  # what is left of markup that this module does not read
_BLOCK_MARKUP = tuple("*#:;|!{}=<[ \t_-")  # first characters of lines that are no paragraph, but `[[` is one
# Not after one letter or a digit: `z. B.`, `am 3. Mai`.
_SENTENCE_END = re.compile(r"""(?<=[^\W\d_][^\W\d_])[.!?]+["”“»)]*\s+|[。！？]+[」』”]*""")


@dataclass(frozen=True)
class Article:
    """A page of the dump.

    Attributes:
        page_id: number in the Wikipedia, ascending in a dump.
        title: of the page.
        text: wikitext; empty for redirects and pages that are no articles.
    """

    page_id: int
    title: str
    text: str


def wikipedia_examples(
    dump: str, langlinks: str, language: str, source_language: str, max_characters: int, num_phrases: int
) -> Iterator[Example]:
    """Examples of the links of a Wikipedia, in the order of the dump.

    Args:
        dump: pages-articles file of the target language, plain or compressed.
        langlinks: langlinks file of the target language, plain or compressed.
        language: of the Wikipedia, ISO 639-1.
        source_language: of the names, ISO 639-1.
        max_characters: of a sentence.
        num_phrases: maximum number of noun phrases: links that begin with a lowercase letter.

    Raises:
        UserError: a file is missing, damaged or no such dump, or the two have no article in common.
    """
    names = _names_of_articles(dump, read_langlinks(langlinks, source_language))
    if not names:
        problem = f"has no article with a link to the Wikipedia in `{source_language}`"
        remedy = f"give the dump and the langlinks file of one Wikipedia, that in `{language}`"
        raise UserError(problem, file=dump, key=DUMP_KEY, remedy=remedy)
    counts: Counter[str] = Counter()
    phrases = 0
    for article in read_articles(dump):
        found = 0
        for example in article_examples(article.text, names, language, max_characters):
            counts[example.name] += 1
            phrases += example.kind == PHRASE
            is_wanted = example.kind != PHRASE or phrases <= num_phrases
            if is_wanted and counts[example.name] <= MAX_EXAMPLES_PER_NAME and found < MAX_EXAMPLES_PER_ARTICLE:
                found += 1
                yield example


def read_langlinks(path: str, source_language: str) -> dict[int, str]:
    """Read the first `MAX_TITLES` links to another Wikipedia: page id and title there, without `(city)` at its end.

    Args:
        path: SQL file with lines `INSERT INTO `langlinks` VALUES (1,'en','Title'),...`.
        source_language: ISO 639-1.

    Raises:
        UserError: the file is missing or damaged, or has no link to this Wikipedia.
    """
    plain = source_language.partition("_")[0]
    code = _CODES.get(plain, plain)
    link = re.compile(rb"\((\d{1,%d}),'" % _MAX_ID_DIGITS + re.escape(code.encode()) + rb"','((?:[^'\\]|\\.)*)'\)")
    titles: dict[int, str] = {}
    with open_text(path, LANGLINKS_KEY) as stream:
        for block in text_blocks(stream):
            for page_id, escaped in link.findall(block):
                try:
                    title = re.sub(rb"\\(.)", rb"\1", escaped).decode()
                except UnicodeDecodeError:  # the database truncates long titles
                    continue
                name = _DISAMBIGUATION.sub("", title.replace("_", " ")).strip()
                if any(map(str.isalpha, name)) and ":" not in name:
                    titles[int(page_id)] = name
            if len(titles) >= MAX_TITLES:
                break
    if not titles:
        problem = f"has no link to the Wikipedia `{code}`"
        raise UserError(
            problem, file=path, key=LANGLINKS_KEY, remedy="give the file *-langlinks.sql.gz of a Wikipedia"
        )
    return titles


def check_files(dump: str, langlinks: str) -> None:
    """Read the beginning of both files.

    Raises:
        UserError: a file is missing, damaged or another one.
    """
    next(read_articles(dump))
    with open_text(langlinks, LANGLINKS_KEY) as stream:
        if b"`langlinks`" not in stream.read(_BLOCK):
            remedy = "give the file *-langlinks.sql.gz of a Wikipedia"
            raise UserError("has no table `langlinks`", file=langlinks, key=LANGLINKS_KEY, remedy=remedy)


def _names_of_articles(dump: str, links: Mapping[int, str]) -> dict[str, str]:
    """The name of each article by its title, up to the last article with a link."""
    names, last = {}, max(links)
    for article in read_articles(dump):
        if article.text and article.page_id in links:
            names[article.title] = links[article.page_id]
        if article.page_id >= last:
            break
    return names


def read_articles(path: str) -> Iterator[Article]:
    """Read the pages of a dump, one at a time.

    Raises:
        UserError: the file is missing, damaged, no XML, or declares entities.
    """
    parser: Any = XMLPullParser(["start", "end"])
    root: Any = None
    num_pages, tail = 0, b""
    with open_text(path, DUMP_KEY) as stream:
        while True:
            block = stream.read(_BLOCK)
            prolog = tail + block if root is None else b""
            if b"<!DOCTYPE" in prolog or b"\0" in prolog:  # in UTF-16 every other byte is 0
                problem = "declares entities, or is not UTF-8"
                raise UserError(problem, file=path, key=DUMP_KEY, remedy="give a dump of dumps.wikimedia.org")
            tail = prolog[-len(b"<!DOCTYPE") :]
            try:
                if block:
                    parser.feed(block)
                else:
                    parser.close()  # an error if the file is cut
                events = list(parser.read_events())
            except ParseError as e:
                problem = f"is no dump, or is damaged: {e}"
                raise UserError(problem, file=path, key=DUMP_KEY, remedy="fetch the file again") from None
            for event, element in events:
                if event == "start":
                    root = element if root is None else root
                elif _tag(element) == "page":
                    num_pages += 1
                    yield _article(element)
                    root.clear()
            if not block:
                break
    if not num_pages:
        raise UserError("has no page", file=path, key=DUMP_KEY, remedy="give the file *-pages-articles.xml.bz2")


def _article(page: Any) -> Article:
    fields = {_tag(element): element.text or "" for element in page.iter()}  # of a page, `id` is the first one
    page_id = next((e.text or "0" for e in page if _tag(e) == "id"), "0")
    is_article = fields.get("ns", "0").strip() == "0" and "redirect" not in fields
    return Article(
        int(page_id) if page_id.isdecimal() and len(page_id) <= _MAX_ID_DIGITS else 0,
        fields.get("title", ""),
        fields.get("text", "") if is_article else "",
    )


def _tag(element: Any) -> str:
    """The tag without its namespace."""
    return element.tag.rpartition("}")[2]


def article_examples(text: str, names: Mapping[str, str], language: str, max_characters: int) -> Iterator[Example]:
    """Examples of the links in one article. Links of one sentence to one article are one example.

    Args:
        text: wikitext.
        names: names in the source language by title.
        language: of the text, ISO 639-1.
        max_characters: of a sentence.
    """
    for paragraph in _without_templates(text).split("\n"):
        if len(paragraph) > _MAX_PARAGRAPH or (paragraph.startswith(_BLOCK_MARKUP) and not paragraph.startswith("[[")):
            continue
        plain, links = _plain_text(paragraph, language)
        for start, end in _sentences(plain, links):
            sentence = plain[start:end]
            if not MIN_CHARACTERS <= len(sentence) <= max_characters or _MARKUP.search(sentence):
                continue
            spans: dict[str, set[tuple[int, int]]] = {}
            named: set[str] = set()
            for a, b, title in links:
                name = names.get(title) or names.get(title[:1].upper() + title[1:])
                if start <= a and b <= end and name:
                    spans.setdefault(name, set()).update(equal_spans(sentence, a - start, b - start, language))
                    named |= set() if plain[a].islower() else {name}
            for name, found in spans.items():
                if all(b <= c or d <= a for a, b in found for c, d in found if (a, b) != (c, d)):
                    kind = "" if name in named else PHRASE
                    yield Example(name, sentence, tuple(sorted(found)), language, WIKIPEDIA, kind)


def _without_templates(text: str) -> str:
    text = _HIDDEN.sub("", text)
    for _ in range(_MAX_TEMPLATE_DEPTH):
        text, count = _TEMPLATE.subn("", text)
        if not count:
            break
    return text


def _plain_text(paragraph: str, language: str) -> tuple[str, list[tuple[int, int, str]]]:
    """The paragraph as it is displayed, and its links: start, end, title. Links to files and categories stay as markup."""
    has_trail = get_language(language).uses_spaces  # [[Berlin]]s is displayed as one link, [[中国]]人 is not
    parts: list[str] = []
    links: list[tuple[int, int, str]] = []
    length = position = 0

    def add(text: str) -> int:
        nonlocal length
        parts.append(_APOSTROPHES.sub("", unescape(text)).replace("\xa0", " "))
        length += len(parts[-1])
        return length

    for link in _LINK.finditer(paragraph):
        title, shown, trail = link.groups()
        if ":" in title:
            continue
        start = add(paragraph[position : link.start()])
        end = add((shown or title) + (trail if has_trail else ""))
        position = link.end() if has_trail else link.start(3)
        surface = parts[-1]
        if surface.strip() == surface and surface:
            links.append((start, end, " ".join(title.replace("_", " ").split())))
    add(paragraph[position:])
    return "".join(parts), links


def _sentences(text: str, links: list[tuple[int, int, str]]) -> Iterator[tuple[int, int]]:
    """Character spans of the sentences. No sentence ends inside a link."""
    start = 0
    for end in [m.end() for m in _SENTENCE_END.finditer(text)] + [len(text)]:
        if any(a < end < b for a, b, _ in links):
            continue
        sentence = text[start:end]
        first = start + len(sentence) - len(sentence.lstrip())
        if sentence.strip():
            yield first, first + len(sentence.strip())
        start = end
