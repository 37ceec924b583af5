from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from weight_files import Pickle, one_tensor, torch_zip

from hubloader.errors import CorruptFile, FormatError, UnsafeFile, UnsupportedDtype
from hubloader.formats.tensor_pickle import load_pickle
from hubloader.formats.torch_pickle import TorchPickleFile

SIX = np.arange(6, dtype=np.float32)
RECORDS = {"0": SIX.tobytes()}


def legacy(*parts: bytes, keys: tuple[str, ...] = ("0",), data: bytes | None = None) -> bytes:
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    body = struct.pack("<q", 6) + SIX.tobytes() if data is None else data
    return b"".join([*head, *parts, pickle.dumps(list(keys), 2), body])


def test_an_archive_is_read_by_name_as_views_on_the_file(tmp_path):
    file = TorchPickleFile(torch_zip(tmp_path / "m.bin", one_tensor(), RECORDS))

    array = file.read("w")

    assert list(file.names()) == ["w"]
    assert file.spec("w").shape == (2, 3)
    assert file.spec("w").dtype == "F32"
    assert array.tolist() == SIX.reshape(2, 3).tolist()
    assert not array.flags.owndata


def test_a_transposed_view_is_read_as_one(tmp_path):
    file = TorchPickleFile(torch_zip(tmp_path / "m.bin", one_tensor((3, 2), (1, 3)), RECORDS))

    assert file.read("w").tolist() == SIX.reshape(2, 3).T.tolist()


def test_the_format_of_before_2020_is_read(tmp_path):
    path = tmp_path / "m.bin"
    path.write_bytes(legacy(one_tensor()))

    assert TorchPickleFile(path).read("w").tolist() == SIX.reshape(2, 3).tolist()


def test_what_is_no_tensor_in_a_state_dict_is_left_out(tmp_path):
    made = Pickle().add(b"}(").add("epoch").add(3).add("w")
    program = made.tensor(made.storage("0", 6), (6,), (1,)).add(b"u").done()

    assert list(TorchPickleFile(torch_zip(tmp_path / "m.bin", program, RECORDS)).names()) == ["w"]


def test_a_trainers_checkpoint_holds_its_tensors_under_state_dict(tmp_path):
    made = Pickle().add(b"}(").add("epoch").add(3).add("state_dict").add(b"}(").add("w")
    program = made.tensor(made.storage("0", 6), (6,), (1,)).add(b"uu").done()
    file = TorchPickleFile(torch_zip(tmp_path / "m.bin", program, RECORDS))

    assert file.read("w").tolist() == SIX.tolist()


HOSTILE_NAMES = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("collections", "OrderedDict.fromkeys"),
    ("torch", "FloatStorage.from_file"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("subprocess", "Popen"),
]


@pytest.mark.parametrize(("module", "name"), HOSTILE_NAMES)
@pytest.mark.parametrize("form", ["global", "stack_global", "inst"])
def test_a_global_outside_the_list_is_refused_by_name_and_never_called(
    tmp_path, module, name, form
):
    marker = tmp_path / "ran"
    call = f"touch {marker}"
    parts = {
        "global": Pickle().add(f"c{module}\n{name}\n".encode()).add((call,)).add(b"R"),
        "stack_global": Pickle().add(module).add(name).add(b"\x93").add((call,)).add(b"R"),
        "inst": Pickle().add(b"(").add(call).add(f"i{module}\n{name}\n".encode()),
    }
    path = torch_zip(tmp_path / "m.bin", parts[form].done(), RECORDS)

    with pytest.raises(UnsafeFile) as caught:
        TorchPickleFile(path)

    assert not marker.exists()
    assert form == "inst" or f"{module}.{name}" in caught.value.message
    assert caught.value.exit_code == 9


def test_a_real_exploit_made_by_pickle_itself_does_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Exploit:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    for protocol in range(2, 6):
        path = torch_zip(tmp_path / "m.bin", pickle.dumps({"w": Exploit()}, protocol), RECORDS)
        with pytest.raises(UnsafeFile):
            TorchPickleFile(path)

    assert not marker.exists()


def test_calling_what_is_no_constructor_is_refused():
    with pytest.raises(UnsafeFile, match="constructor"):
        load_pickle(Pickle().add("text").add(("x",)).add(b"R").done(), 0, lambda key: key)


@pytest.mark.parametrize(
    "code", [b"o", b"\x81", b"\x92", b"P0\n", b"\x82\x01", b"i", b"\x97", b"I1\n", b"V1\n", b"2"]
)
def test_an_instruction_that_no_state_dict_needs_is_refused(code):
    with pytest.raises(UnsafeFile, match="instruction"):
        load_pickle(b"\x80\x02" + code + b".", 0, lambda key: key)


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"\x80",
        b"X\xff\xff\xff\x7fabc.",
        b"X\x01\x00\x00\x00\xff.",
        b"t.",
        b".",
        b"\x86.",
        b"N(a.",
        b"]a",
        b"Nu.",
        b"h\x07.",
        b"\x80\x09.",
        b"N(NNu.",
        b"T\xff\xff\xff\xff.",
        b"}(]Nu.",
    ],
)
def test_a_damaged_pickle_is_corrupt(code):
    with pytest.raises(CorruptFile):
        load_pickle(code, 0, lambda key: key)


def test_lists_nested_a_hundred_thousand_deep_are_read_without_recursion():
    deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."

    value, position = load_pickle(deep, 0, lambda key: key)

    assert isinstance(value, list)
    assert position == len(deep)


def test_a_tensor_larger_than_its_storage_is_unsafe(tmp_path):
    program = one_tensor((2**40,), (0,), count=1)

    with pytest.raises(UnsafeFile, match="larger than its storage"):
        TorchPickleFile(torch_zip(tmp_path / "m.bin", program, {"0": bytes(4)}))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (one_tensor(at=1), "leaves its storage"),
        (one_tensor(strides=(4, 1)), "leaves its storage"),
        (one_tensor(count=7), "cut off"),
        (one_tensor(shape=(2, 3), strides=(1,)), "differ"),
        (one_tensor(shape=(-1, 3)), "cannot be"),
        (one_tensor(at=-1), "cannot be"),
        (Pickle().add("text").done(), "no dictionary"),
        (Pickle().add(b"}(").add("model").add(1).add(b"u").done(), "only: model"),
    ],
)
def test_a_tensor_that_its_storage_cannot_hold_is_corrupt(tmp_path, program, says):
    with pytest.raises(CorruptFile, match=says) as caught:
        TorchPickleFile(torch_zip(tmp_path / "m.bin", program, RECORDS))

    assert caught.value.filename == "m.bin"


def test_a_missing_storage_is_corrupt(tmp_path):
    with pytest.raises(CorruptFile, match="not in the file"):
        TorchPickleFile(torch_zip(tmp_path / "m.bin", one_tensor(), {}))


def test_a_deflated_archive_is_unsafe(tmp_path):
    path = torch_zip(
        tmp_path / "m.bin", one_tensor(), {"0": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED
    )

    with pytest.raises(UnsafeFile, match="compressed"):
        TorchPickleFile(path)


def test_records_that_overlap_to_claim_more_than_the_file_are_unsafe(tmp_path):
    path = torch_zip(tmp_path / "m.bin", one_tensor(), {"0": bytes(4000), "1": b""})
    raw = path.read_bytes()
    # the central directory says that record 1, too, is the 4000 bytes of record 0
    entries = raw.split(b"PK\x01\x02")[1:]
    first = next(e for e in entries if b"archive/data/0" in e)
    second = next(e for e in entries if b"archive/data/1" in e)
    forged = first.replace(b"archive/data/0", b"archive/data/1")
    path.write_bytes(raw.replace(b"PK\x01\x02" + second[: len(forged)], b"PK\x01\x02" + forged))

    with pytest.raises(UnsafeFile, match="more bytes than the file"):
        TorchPickleFile(path)


def test_big_endian_tensors_are_refused_with_a_reason(tmp_path):
    path = torch_zip(tmp_path / "m.bin", one_tensor(), RECORDS, byteorder=b"big")

    with pytest.raises(UnsupportedDtype, match="big-endian"):
        TorchPickleFile(path)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(100),
        b"PK",
        b"\x80\x02.",
        b"not a checkpoint",
        legacy(one_tensor(), data=b""),
        legacy(one_tensor(), data=struct.pack("<q", 6) + bytes(8)),
        legacy(one_tensor(), data=struct.pack("<q", 5) + bytes(24)),
        legacy(one_tensor(), keys=("9",)),
        pickle.dumps(7, 2),
    ],
)
def test_a_damaged_file_is_an_error_of_ours(tmp_path, data):
    path = tmp_path / "m.bin"
    path.write_bytes(data)

    with pytest.raises(CorruptFile):
        TorchPickleFile(path)


def test_every_truncation_of_both_formats_is_an_error_of_ours(tmp_path):
    archive = torch_zip(tmp_path / "z.bin", one_tensor(), RECORDS).read_bytes()
    path = tmp_path / "m.bin"
    for whole in (archive, legacy(one_tensor())):
        for length in range(0, len(whole) - 1, 7):
            path.write_bytes(whole[:length])
            with pytest.raises(FormatError):
                TorchPickleFile(path).read("w")
