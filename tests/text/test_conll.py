"""CoNLL files: what is read, and which lines are errors with file, line and remedy."""

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
        ("a\u00a0b O\n", 1, ["white space"]),
        ("a\tO\nb\tX-PER\n", 2, ["`X-PER`", "BIO2"]),
        ("a\tPER\n", 1, ["`PER`"]),
        ("a\tB-\n", 1, ["`B-`"]),
        ("a\tO\nb\tI-PER\n", 2, ["IOB1", "`scheme: iob1`", "--scheme iob1"]),
        ("a\tO\nb\tS-PER\n", 2, ["looks like IOBES", "`scheme: iobes`"]),
        ("a\tU-PER\n", 1, ["looks like BILOU"]),
        ("a\tB-ORG|B-LOC\n", 1, ["nested", "keep one layer"]),
        ("1\ta\tO\n2\tb\tB-PER\n", None, ["first column counts tokens"]),
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
