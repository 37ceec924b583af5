"""The reader of SentencePiece's model files: what it reads, and what it refuses."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubloader.errors import CorruptFile, HubloaderError, UnsafeFile
from hubloader.tokenizers.sentencepiece_model import (
    Algorithm,
    PieceKind,
    parse_sentencepiece_model,
)

MODELS = sorted(
    (Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers").glob("spm-*/*.model")
)


def varint(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(text, score=0.0, kind=1):
    return field(1, field(1, text) + field(2, score) + field(3, kind))


def character_map(units=(), texts=b"a\0"):
    """Make a table of one block, whose first units are given."""
    table = [*units, *range(len(units), 256)]
    return struct.pack("<I", 4 * len(table)) + struct.pack(f"<{len(table)}I", *table) + texts


UNKNOWN = piece("<unk>", 0.0, 2)


def test_pieces_keep_their_order_scores_and_kinds():
    model = parse_sentencepiece_model(
        UNKNOWN + piece("a", -1.5) + piece("<s>", 0.0, 3) + piece("<x>", 0.0, 4)
        + piece("gone", -2.0, 5) + piece("<0x41>", 0.0, 6)
    )  # fmt: skip
    assert [p.text for p in model.pieces] == ["<unk>", "a", "<s>", "<x>", "gone", "<0x41>"]
    assert [p.score for p in model.pieces][:2] == [0.0, -1.5]
    assert [p.kind for p in model.pieces] == [
        PieceKind.UNKNOWN, PieceKind.NORMAL, PieceKind.CONTROL, PieceKind.USER_DEFINED,
        PieceKind.UNUSED, PieceKind.BYTE,
    ]  # fmt: skip


def test_what_the_file_leaves_out_has_protobufs_defaults():
    model = parse_sentencepiece_model(field(1, field(1, "a")))
    assert model.pieces[0] == ("a", 0.0, PieceKind.NORMAL)
    assert (model.algorithm, model.byte_fallback) == (Algorithm.UNIGRAM, False)
    assert (model.unknown_id, model.unknown_piece, model.charsmap) == (0, "<unk>", b"")
    assert model.add_dummy_prefix is True


def test_trainer_and_normalizer_are_read_and_unknown_fields_skipped():
    trainer = field(3, 2) + field(35, 1) + field(40, 1) + field(45, "[UNK]") + field(7, b"en")
    charsmap = character_map()
    model = parse_sentencepiece_model(
        field(99, b"later") + UNKNOWN + piece("b") + field(2, trainer)
        + field(3, field(1, "mine") + field(2, charsmap) + field(3, 0)) + field(4, b"")
    )  # fmt: skip
    assert (model.algorithm, model.byte_fallback) == (Algorithm.BPE, True)
    assert (model.unknown_id, model.unknown_piece) == (1, "[UNK]")
    assert (model.charsmap, model.add_dummy_prefix) == (charsmap, False)


def test_a_field_that_comes_again_counts_the_last_time():
    model = parse_sentencepiece_model(
        UNKNOWN + piece("a") + field(2, field(3, 2)) + field(2, field(40, 1) + field(3, 1))
    )
    assert (model.algorithm, model.unknown_id) == (Algorithm.UNIGRAM, 1)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_every_trained_model_is_read(path):
    model = parse_sentencepiece_model(path.read_bytes())
    assert len(model.pieces) > 500
    assert model.pieces[model.unknown_id].kind is PieceKind.UNKNOWN
    assert model.pieces[model.unknown_id].text == model.unknown_piece


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "no pieces"),
        (field(2, b""), "no pieces"),
        (b"\x0a\xff\xff\xff\x0f", "too far"),
        (b"\x0a", "ends inside a number"),
        (b"\xff" * 11, "longer than ten bytes"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "impossible number"),
        (field(1, 7), "not a run of bytes"),
        (field(1, field(1, "")), "piece 0 is empty"),
        (field(1, field(1, b"\xff\xfe")), "not UTF-8"),
        (piece("a", float("nan")), "score nan"),
        (piece("a", float("inf")), "score inf"),
        (piece("a", 0.0, 9), "unknown kind 9"),
        (field(1, field(1, "a") + field(2, 3)), "four bytes"),
        (field(1, field(1, "a") + field(3, b"x")), "not a whole number"),
        (piece("a") + piece("a"), "twice"),
        (piece("a") + field(2, field(40, 5)), "number 5 of 1"),
        (piece("a") + field(2, field(40, (1 << 64) - 1)), "number -1 of 1"),
        (piece("a") + field(2, field(3, 8)), "unknown number 8"),
        (piece("a") + field(3, field(2, b"\xff\xff\xff\xff")), "cut short"),
        (piece("a") + field(3, field(2, struct.pack("<I", 0) + b"\xff\0")), "map is not UTF-8"),
        (piece("a") + field(3, field(2, struct.pack("<I", 0) + b"a\0")), "has no table"),
        (
            piece("a") + field(3, field(2, character_map([1 << 10 << 8]))),
            "leads to unit 256 of 256",
        ),
        (
            piece("a") + field(3, field(2, character_map([1 << 8 | 1 << 10, 1 << 31 | 9]))),
            "names a text at byte 9",
        ),
        (
            piece("a")
            + field(3, field(2, character_map([1 << 8 | 1 << 10, 1 << 31 | 1], b"\xc3\xa9"))),
            "names a text at byte 1",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_words(raw, words):
    with pytest.raises(CorruptFile, match=words):
        parse_sentencepiece_model(raw)


@pytest.mark.parametrize(
    "raw",
    [
        piece("a" * 1025),
        piece("a") + field(3, field(2, struct.pack("<I", 0) + b"b" * 1025 + b"\0")),
    ],
)
def test_what_would_exhaust_the_machine_is_refused(raw):
    with pytest.raises(UnsafeFile):
        parse_sentencepiece_model(raw)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused_with_our_own_error(raw):
    try:
        model = parse_sentencepiece_model(raw)
    except HubloaderError:
        return
    assert model.pieces


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_real_file_with_bytes_changed_is_read_or_refused_with_our_own_error(data):
    raw = bytearray(data.draw(st.sampled_from(MODELS)).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(raw)))
    try:
        parse_sentencepiece_model(bytes(raw[:end]))
    except HubloaderError:
        return


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(
    st.lists(
        st.tuples(texts, st.floats(-1e6, 1e6, width=32), st.sampled_from(PieceKind)),
        min_size=1,
        max_size=20,
        unique_by=lambda entry: entry[0],
    )
)
@settings(deadline=None)
def test_what_was_written_is_read_back(entries):
    model = parse_sentencepiece_model(b"".join(piece(t, s, int(k)) for t, s, k in entries))
    assert [tuple(p) for p in model.pieces] == entries
