"""CoNLL files: what is read, and which lines are errors with file, line and remedy."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.text.conll import Sentence, read_conll, write_conll
from xner_ray.text.tags import bio2_to_spans, spans_to_bio2


@pytest.fixture
def write(tmp_path):
    def _write(data: str | bytes):
        path = tmp_path / "x.conll"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return _write


def failure(path, **options) -> UserError:
    with pytest.raises(UserError) as error:
        read_conll(path, **options)
    assert error.value.file == path
    assert error.value.remedy
    return error.value


def test_reads_tabs_spaces_and_middle_columns(write):
    path = write("-DOCSTART- -X- O O\n\nAnna NNP B-NP B-PER\nlacht VB B-VP O\n\n\nBonn\tB-LOC\n")
    assert read_conll(path, "de") == [
        Sentence(["Anna", "lacht"], ["B-PER", "O"], "de"),
        Sentence(["Bonn"], ["B-LOC"], "de"),
    ]


def test_byte_order_mark_and_crlf_are_removed(write):
    assert read_conll(write(b"\xef\xbb\xbfBonn\tB-LOC\r\n\r\nBonn\tO\r\n")) == [
        Sentence(["Bonn"], ["B-LOC"]),
        Sentence(["Bonn"], ["O"]),
    ]


def test_types_are_renamed_dropped_and_kept(write):
    path = write("a\tB-GPE.NAM\nb\tI-GPE.NAM\nc\tB-PER.NOM\nd\tB-ORG\n")
    sentence = read_conll(path, "zh", {"GPE.NAM": "LOC", "PER.NOM": "O", "unseen": "X"}, ["LOC", "PER"])[0]
    assert sentence.tags == ["B-LOC", "I-LOC", "O", "O"]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        ("a\tO\nb\n", 2, ["missing column", "`b`"]),
        ("a\tO\n\nb c\tB-PER\n", 3, ["white space"]),
        ("a\u3000b O\n", 1, ["white space"]),
        ("a\tO\n\tNN\tO\n", 2, ["token is empty"]),
        ("a\tO\nb\tM-PER\nc\tI-PER\n", 3, ["looks like IOBES"]),
        ("a\tO\nb\tX-PER\n", 2, ["`X-PER`", "BIO2"]),
        ("a\tPER\n", 1, ["`PER`"]),
        ("a\tB-\n", 1, ["`B-`"]),
        ("a\tO\nb\tI-PER\n", 2, ["IOB1", "`scheme: iob1`", "--scheme iob1"]),
        ("a\tO\nb\tS-PER\n", 2, ["looks like IOBES", "`scheme: iobes`"]),
        ("a\tU-PER\n", 1, ["looks like BILOU"]),
        ("a\tB-ORG|B-LOC\n", 1, ["nested", "keep one layer"]),
        ("a\tO\tB-ORG\nb\tO\tO\n", None, ["columns 2 and 3 both hold tags", "awk '{print $1, $2}'"]),
        ("x O\n" * 3000, 1, ["3,000 tokens", "blank line"]),
        ('{"tokens": ["a"], "ner_tags": ["O"]}\n', None, ["JSON"]),
        ('[\n{"a": 1}\n]\n', None, ["JSON"]),
        (b"\x1f\x8b\x08\x00", None, ["compressed", "gunzip"]),
        ("a\tB-ORG\tO\nb\tI-ORG\tO\nc\tO\tB-ORG\n", None, ["nested", "ORG"]),
        ("a\tB-LOC\nb\tI-PER\n", 2, ["continues nothing", "`B-LOC`"]),
        (b"a\tO\n\xe4\tO\n", 2, ["UTF-8", "0xe4", "iconv"]),
        ("", None, ["no sentence"]),
        ("\n\n-DOCSTART- O\n", None, ["no sentence"]),
    ],
)
def test_bad_lines_are_errors_with_line(write, data, line, words):
    error = failure(write(data))
    assert error.line == line
    for word in words:
        assert word in str(error)


RECOGNIZED = {
    "CoNLL-2003": "Anna NNP B-NP B-PER\nin IN B-PP O\nRom NNP B-NP B-LOC\n",
    "CoNLL-2002": "Anna B-PER\nin O\nRom B-LOC\n",
    "UNER": "# sent_id = 1\n# text = Anna in Rom O\n1\tAnna\tB-PER\t-\tme\n2\tin\tO\t-\t\n3\tRom\tB-LOC\t-\t\n",
    "UNER with a multiword token": "1\tAnna\tB-PER\t-\n2-3\tinRom\t_\t_\n2\tin\tO\t-\n3\tRom\tB-LOC\t-\n",
    "GermEval": "#\thttp://x.org/a\t[2009-10-17]\n1\tAnna\tB-PER\tO\n2\tin\tO\tO\n3\tRom\tB-LOC\tB-PER\n",
    "GermEval from 0": "0\tAnna\tB-PER\tO\n1\tin\tO\tO\n2\tRom\tB-LOC\tO\n",
    "MultiCoNER": "# id 7e0b\tdomain=train\nAnna _ _ B-PER\nin _ _ O\nRom _ _ B-LOC\n",
    "conlleval": "Anna NNP B-PER B-PER\nin IN O O\nRom NNP B-LOC B-LOC\n",
    "conlleval with chunks": "Anna NNP B-NP B-PER B-PER\nin IN B-PP O B-PER\nRom NNP B-NP B-LOC B-LOC\n",
    "conlleval without a prediction": "Anna B-PER O\nin O O\nRom B-LOC O\n",
    "BMES": "Anna\tS-PER\nin\tO\nRom\tS-LOC\n\nNew\tB-LOC\nYork\tM-LOC\nCity\tE-LOC\n",
    "trailing spaces": "Anna B-PER  \nin O \nRom B-LOC\n",
    "trailing tabs": "Anna\tB-PER\t\nin\tO\nRom\tB-LOC\t\n",
    "a tab on blank lines": "Anna\tB-PER\nin\tO\nRom\tB-LOC\n\t\n \n",
    "CR": "Anna\tB-PER\rin\tO\rRom\tB-LOC\r",
    "empty fields": "Anna\t\tB-PER\nin\tX\tO\nRom\t\tB-LOC\n",
    "padded fields": "Anna \t B-PER\nin \t O\nRom \t B-LOC\n",
}


@pytest.mark.parametrize("name", RECOGNIZED)
def test_a_format_is_recognized_by_its_content(write, name):
    first, *more = read_conll(write(RECOGNIZED[name]))
    assert first == Sentence(["Anna", "in", "Rom"], ["B-PER", "O", "B-LOC"])
    assert more == ([Sentence(["New", "York", "City"], ["B-LOC", "I-LOC", "I-LOC"])] if name == "BMES" else [])


def test_what_was_recognized_is_said(write, caplog):
    read_conll(write(RECOGNIZED["GermEval"]))
    assert "an index, then the token; outer entities in column 3" in caplog.text
    read_conll(write(RECOGNIZED["conlleval"]))
    assert "gold in column 3, prediction in column 4" in caplog.text
    read_conll(write(RECOGNIZED["BMES"]))
    assert "tags of BMES" in caplog.text
    caplog.clear()
    read_conll(write(RECOGNIZED["CoNLL-2003"]))
    assert not caplog.records


def test_positions_of_weibo_are_removed(write, caplog):
    path = write(
        "官0\tB-PER.NOM\n员1\tI-PER.NOM\n去0\tO\n2 0\tO\n".replace("2 0", "20") + "\n北0\tB-GPE.NAM\n京1\tI-GPE.NAM\n"
    )
    assert [s.tokens for s in read_conll(path, "zh")] == [["官", "员", "去", "2"], ["北", "京"]]
    assert "positions" in caplog.text


@pytest.mark.parametrize("tokens", [["B1", "B2"], ["第1", "第2"], ["官0", "员"], ["A0", "A1"]])
def test_tokens_with_digits_stay(write, tokens):
    path = write("".join(f"{token}\tO\n" for token in tokens))
    assert read_conll(path, "zh")[0].tokens == tokens


def test_the_token_number_sign_is_no_comment(write):
    for separator in "\t ":
        lines = ["# O", "1 O", "# B-PER", "", "# id 5 domain=x", "#wien B-LOC", "# O"]
        path = write("\n".join(line if "id" in line else line.replace(" ", separator) for line in lines) + "\n")
        assert [s.tokens for s in read_conll(path)] == [["#", "1", "#"], ["#wien", "#"]]


def test_a_no_break_space_is_content(write, tmp_path):
    (one,) = read_conll(write("10\u00a0000 O\nBerlin B-LOC\n"))
    assert one.tokens == ["10\u00a0000", "Berlin"]
    write_conll(tmp_path / "y.conll", [one])
    assert read_conll(tmp_path / "y.conll") == [one]


def test_few_entities_that_begin_with_i_are_repaired_and_reported(write, caplog):
    def lines(good, strays):
        return "a\tB-PER\n\n" * good + "b\tO\nc\tI-PER\n\n" * strays

    sentences = read_conll(write(lines(399, 1)))
    assert sentences[-1].tags == ["O", "B-PER"] and "lines 800 begin with I-" in caplog.text
    assert read_conll(write(lines(2998, 2)))[-1].tags == ["O", "B-PER"]
    error = failure(write(lines(398, 2)))
    assert error.line == 798 and "IOB1" in error.problem and "2 of 400" in error.problem
    failure(write(lines(50, 1)))
    failure(write(lines(399, 1).replace("a\tB-", "a\tS-")), scheme="iobes")


def test_bmes_is_converted_on_request(write):
    assert read_conll(write("a S-PER\nb B-LOC\nc E-LOC\n"), scheme="bmes")[0].tags == ["B-PER", "B-LOC", "I-LOC"]
    assert "looks like BMES" in failure(write("a M-PER\n"), scheme="iobes").problem


def test_parquet_is_recognized_without_its_suffix(tmp_path):
    table = pa.table({"tokens": [["Wien"]], "ner_tags": [["B-LOC"]]})
    pq.write_table(table, tmp_path / "gold.conll")
    assert read_conll(tmp_path / "gold.conll")[0].tags == ["B-LOC"]


FORMATS = [
    "{t} {g}",
    "{t}\t{g}",
    "{t} NN {g}",
    "{t} NN B-NP {g}",
    "{i}\t{t}\t{g}\t-",
    "{i}\t{t}\t{g}\tO",
    "{t} {g} {g}",
]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["O", "B-PER", "B-LOC"]), min_size=2, max_size=5), min_size=1, max_size=4),
    st.sampled_from(FORMATS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(0, 1),
)
def test_all_formats_give_the_same_sentences(tmp_path_factory, tags, form, newline, base):
    if not any(tag != "O" for row in tags for tag in row):
        tags[0][0] = "B-PER"
    sentences = [Sentence([f"w{i}" for i in range(len(row))], row) for row in tags]
    path = tmp_path_factory.mktemp("c") / "x.conll"
    text = "".join(
        "".join(
            form.format(i=i, t=t, g=g) + newline for i, (t, g) in enumerate(zip(s.tokens, s.tags, strict=True), base)
        )
        + newline
        for s in sentences
    )
    path.write_bytes(text.encode())
    assert read_conll(path) == sentences


def test_missing_file_is_an_error(tmp_path):
    assert "No such file" in failure(tmp_path / "none.conll").problem


def test_iob1_is_converted_on_request(write):
    path = write("a\tI-PER\nb\tI-PER\nc\tB-PER\nd\tI-LOC\ne\tO\nf\tI-LOC\n")
    assert read_conll(path, scheme="iob1")[0].tags == ["B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-LOC"]


def test_iobes_and_bilou_are_converted_on_request(write):
    expected = ["B-PER", "B-LOC", "I-LOC", "I-LOC", "O"]
    iobes = write("a S-PER\nb B-LOC\nc I-LOC\nd E-LOC\ne O\n")
    assert read_conll(iobes, scheme="iobes")[0].tags == expected
    bilou = write("a U-PER\nb B-LOC\nc I-LOC\nd L-LOC\ne O\n")
    assert read_conll(bilou, scheme="bilou")[0].tags == expected
    with pytest.raises(UserError, match="continues nothing"):  # S- ended it
        read_conll(write("a S-PER\nb I-PER\n"), scheme="iobes")


@pytest.mark.parametrize(
    ("data", "line", "remedy"),
    [
        ("1\tAnna\tB-PER\n2\twent\tO\n1\tBob\tB-PER\n", 3, "blank line"),  # no blank line between sentences
        ("1\tAnna\tB-PER\n2\twent\tO\n\n3\tBob\tB-PER\n", 4, "cut -f 2-"),  # tokens of the file are counted
        ("1\tAnna\tB-PER\n3\twent\tO\n", 2, "cut -f 2-"),
        ("Anna NN B-PER\n NN O\n", 2, "begin the line"),  # an empty field at the beginning
    ],
)
def test_a_column_beside_the_tokens_is_not_read_as_tokens(write, data, line, remedy):
    path = write(data)
    with pytest.raises(UserError) as error:
        read_conll(path)
    assert error.value.line == line and remedy in error.value.remedy


def test_outer_entities_of_other_types_than_the_inner_ones_are_read(write):
    sentence = read_conll(write("1\tReal\tB-ORG\tB-LOC\n2\tMadrid\tI-ORG\tI-LOC\n"))[0]
    assert sentence.tags == ["B-ORG", "I-ORG"]


def test_the_remedy_for_utf_16_names_it(tmp_path):
    (tmp_path / "gold.conll").write_bytes("Anna O\n".encode("utf-16"))
    with pytest.raises(UserError) as error:
        read_conll(tmp_path / "gold.conll")
    assert "utf-16" in error.value.remedy


def test_chunk_column_is_not_nested_gold(write):
    path = write("U.N. NNP I-NP B-ORG\nofficial NN I-NP O\n")
    assert read_conll(path)[0] == Sentence(["U.N.", "official"], ["B-ORG", "O"])


def test_entity_split_by_a_sentence_break_is_a_warning(write, caplog):
    path = write(".\tB-LOC\n\nRio\tI-LOC\nde\tI-LOC\n")
    assert [s.tags for s in read_conll(path)] == [["B-LOC"], ["B-LOC", "I-LOC"]]
    assert f"{path}:3" in caplog.text
    failure(write(".\tB-LOC\n\nRio\tI-PER\n"))


spans = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "GPE.NAM"])), max_size=4)


@settings(max_examples=15, deadline=None)  # each example syncs a file to disk
@given(st.lists(spans, min_size=1, max_size=4))
def test_written_files_read_the_same(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("c") / "x.conll"
    sentences = []
    for shape in shapes:
        at, entities = 0, []
        for gap, size, kind in shape:
            entities.append((at + gap, at + gap + size, kind))
            at += gap + size
        tags = spans_to_bio2(entities, at + 1)
        assert bio2_to_spans(tags) == entities
        sentences.append(Sentence([f"é{i}" for i in range(at + 1)], tags))
    write_conll(path, sentences)
    assert read_conll(path) == sentences


@pytest.mark.parametrize("token", ["", "a b", "a\tb", "a\nb", "a\u3000b"])
def test_token_with_white_space_is_an_error_and_keeps_the_old_file(tmp_path, token):
    path = tmp_path / "x.conll"
    write_conll(path, [Sentence(["old"], ["O"])])
    with pytest.raises(UserError, match="sentence 2"):
        write_conll(path, [Sentence(["a"], ["O"]), Sentence([token], ["O"])])
    assert read_conll(path)[0].tokens == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["x.conll"]


def test_unequal_numbers_of_tokens_and_tags_are_an_error(tmp_path):
    with pytest.raises(UserError, match="2 tokens and 1 tags"):
        write_conll(tmp_path / "x.conll", [Sentence(["a", "b"], ["O"])])


def test_sentence_as_text():
    assert Sentence(["北", "京"], ["B-LOC", "I-LOC"], "zh").join_tokens() == ("北京", [(0, 1), (1, 2)])
    assert Sentence(["Ja", "."], ["O", "O"], "de").detokenize() == ("Ja.", [(0, 2), (2, 3)])
