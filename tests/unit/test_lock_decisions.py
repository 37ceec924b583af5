"""What is decided from the two files alone: keep or resolve, refuse, merge, compare."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubloader.errors import DiskFull, IntegrityError, NotFound
from hubloader.locking.conflicts import has_conflict, merge_sides, sides
from hubloader.locking.diff import diff_locks
from hubloader.locking.lockfile import format_lock
from hubloader.locking.plain import layers
from hubloader.locking.policy import refusals, risks
from hubloader.locking.provenance import bill_of_materials, cache_key
from hubloader.locking.resolving import outdated, todo
from hubloader.locking.several import as_one
from hubloader.locking.values import Lock, LockedFile, LockedModel, ModelSpec, Policy, Project
from hubloader.resolve.throttle import Throttle
from hubloader.types import CommitHash, RepoId


def model(name: str = "a", number: int = 1, **changes) -> LockedModel:
    made = LockedModel(
        name=name,
        repo=RepoId.parse("org/name"),
        spec=ModelSpec(name, RepoId.parse("org/name")).digest,
        revision="main",
        commit=CommitHash(f"{number:040x}"),
        files=(
            LockedFile("config.json", 10, f"{number:064x}", f"{number:040x}"),
            LockedFile("model.safetensors", 1000, "f" * 64),
        ),
        license="mit",
    )
    return replace(made, **changes)


def project(*specs: ModelSpec) -> Project:
    return Project("models.toml", specs)


SPEC = ModelSpec("a", RepoId.parse("org/name"))


# keep or resolve


@pytest.mark.parametrize(
    ("spec", "upgrade", "kept", "pinned"),
    [
        (SPEC, False, True, False),
        (SPEC, True, False, False),
        (replace(SPEC, uses=("tf",)), False, False, True),
        (replace(SPEC, revision="v1"), False, False, False),
        (replace(SPEC, repo=RepoId.parse("org/other")), False, False, False),
        (replace(SPEC, formats=("bin",)), False, False, True),
        (replace(SPEC, name="new"), False, False, False),
    ],
)
def test_what_is_locked_stays_as_far_as_its_entry_does(spec, upgrade, kept, pinned):
    (one,) = todo(project(spec), Lock((model(),)), lambda _: upgrade)

    assert (one.kept is not None, one.commit is not None) == (kept, pinned)


def test_what_does_not_fit_is_said_entry_by_entry():
    wanted = project(replace(SPEC, revision="v1"), replace(SPEC, name="new"))

    assert outdated(wanted, Lock((model(), model("old")))) == (
        "a is changed",
        "new is not locked",
        "old is locked and not asked for",
    )
    assert outdated(project(SPEC), Lock((model(),))) == ()


# refuse


@pytest.mark.parametrize(
    ("files", "configs", "found"),
    [
        (["model.safetensors", "config.json"], {}, ()),
        (["pytorch_model.bin"], {}, ("pickle",)),
        (["onnx/weights.bin", "openvino_model.bin"], {}, ()),
        (["a/b.PKL"], {}, ("pickle",)),
        (["modeling.py"], {}, ("remote-code",)),
        (["config.json"], {"config.json": b'{"auto_map": {"AutoModel": "x"}}'}, ("remote-code",)),
        (["config.json"], {"config.json": b'{"auto_map": {}}'}, ()),
        (["config.json"], {"config.json": b"not json"}, ()),
        (["x.py", "x.pt"], {}, ("pickle", "remote-code")),
    ],
)
def test_risks_are_told_from_names_and_configs(files, configs, found):
    assert risks(files, configs) == found


@pytest.mark.parametrize(
    ("policy", "locked", "codes"),
    [
        (Policy(), model(risk=("pickle",), license=""), []),
        (Policy(licenses=frozenset({"mit"})), model(), []),
        (Policy(licenses=frozenset({"apache-2.0"})), model(), [9]),
        (Policy(licenses=frozenset({"mit"})), model(license=""), [9]),
        (Policy(licenses=frozenset({"mit"})), model(license="mit, other"), [9]),
        (Policy(deny=frozenset({"pickle"})), model(risk=("pickle", "remote-code")), [9]),
        (Policy(deny=frozenset({"pickle", "remote-code"})), model(risk=("remote-code",)), [9]),
        (Policy(max_bytes=1010), model(), []),
        (Policy(max_bytes=1009), model(), [9]),
    ],
)
def test_a_policy_refuses_what_it_says(policy, locked, codes):
    assert [refusal.exit_code for refusal in refusals(Lock((locked,)), policy)] == codes


def test_several_failures_are_one_error_that_leads_with_the_gravest():
    error = as_one([NotFound("a is gone"), DiskFull("no room"), IntegrityError("b is bad")])

    assert isinstance(error, IntegrityError)
    assert len(error.failures) == 3
    assert all(word in str(error) for word in ("3 failed", "a is gone", "no room", "b is bad"))


# merge


def conflict(ours: str, theirs: str) -> str:
    return f"<<<<<<< HEAD\n{ours}||||||| base\nversion = 1\n=======\n{theirs}>>>>>>> other\n"


def test_the_sides_of_a_conflict_are_told_apart():
    text = "top\n<<<<<<< a\n1\n||||||| base\n0\n=======\n2\n>>>>>>> b\nend\n"

    assert has_conflict(text)
    assert sides(text) == ("top\n1\nend\n", "top\n2\nend\n")


LOCKS = st.lists(
    st.builds(model, st.sampled_from("abcde"), st.integers(1, 3)),
    max_size=5,
    unique_by=lambda m: m.name,
).map(lambda models: Lock(tuple(models)))


@settings(max_examples=60, deadline=None)
@given(LOCKS, LOCKS)
def test_a_merge_keeps_exactly_what_the_sides_do_not_differ_on(ours, theirs):
    merged = merge_sides(conflict(format_lock(ours), format_lock(theirs)))

    for name in "abcde":
        one, two = ours.named(name), theirs.named(name)
        clash = one is not None and two is not None and one != two
        assert merged.named(name) == (None if clash else one or two)
    assert merged == merge_sides(conflict(format_lock(theirs), format_lock(ours)))


def test_an_entry_that_lines_of_both_sides_made_is_dropped():
    text = format_lock(Lock((model("a"), model("b"))))
    spliced = text.replace("size = 10,", "size = 11,", 1)

    merged = merge_sides(conflict(spliced, "version = 1\n"))

    assert [each.name for each in merged.models] == ["b"]


def test_a_side_that_is_no_lock_has_nothing_to_say():
    assert merge_sides(conflict("[[model\n", format_lock(Lock((model(),))))) == Lock((model(),))


# compare


def test_a_difference_counts_files_and_bytes():
    grown = replace(
        model("a", 2),
        files=(
            LockedFile("config.json", 12, "9" * 64, "9" * 40),
            LockedFile("weights.safetensors", 1000, "f" * 64),
        ),
        license="apache-2.0",
    )

    changes = diff_locks(Lock((model("a"), model("gone"))), Lock((grown, model("new"))))

    first, second, third = changes.changes
    assert (second.new, third.old) == (None, None)
    assert (first.added, first.removed) == (("weights.safetensors",), ("model.safetensors",))
    assert first.modified == ("config.json",)
    assert (first.bytes_added, first.bytes_removed) == (12, 10)
    assert [name for name, _, _ in first.facts] == ["commit", "license"]
    assert not diff_locks(Lock((model(),)), Lock((model(),)))


def test_layers_are_filled_in_order_and_a_large_file_has_its_own():
    groups = layers([model("a"), model("b")], 1000)

    assert [group["files"] for group in groups] == [
        ["a/config.json"],
        ["a/model.safetensors"],
        ["b/config.json"],
        ["b/model.safetensors"],
    ]
    assert [len(group["files"]) for group in layers([model("a"), model("b")], 2020)] == [4]


# prove


def test_a_key_is_of_what_is_locked_and_not_of_how_it_was_asked():
    key = cache_key(Lock((model(),)))

    assert cache_key(Lock((model(license="other", absent=("x",)),))) == key
    assert cache_key(Lock((model(number=2),))) != key
    assert cache_key(Lock((model("b"),))) != key


def test_a_bill_of_materials_is_json_and_names_datasets_as_data():
    data = model("d", repo=RepoId.parse("org/data", "dataset"), license="odd-license, mit")

    document = json.loads(json.dumps(bill_of_materials(Lock((data,)), "1.0")))

    (component,) = document["components"]
    assert component["type"] == "data"
    assert component["purl"].endswith("?repository_type=dataset")
    assert component["licenses"] == [
        {"license": {"name": "odd-license"}},
        {"license": {"id": "MIT"}},
    ]
    references = [component["bom-ref"], *(part["bom-ref"] for part in component["components"])]
    assert len(set(references)) == len(references)


@pytest.mark.parametrize(
    "locked",
    [
        (),
        (model(license="odd-license, mit", risk=("pickle", "remote-code")),),
        (model(), model("b", repo=RepoId.parse("gpt2"), license="")),
        (model("d", repo=RepoId.parse("org/data", "dataset")),),
    ],
)
def test_a_bill_of_materials_is_what_the_schema_of_cyclonedx_says(locked):
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")

    text = json.dumps(bill_of_materials(Lock(locked), "1.0"))

    strict = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert strict.validate_str(text) is None
    assert strict.validate_str(text.replace('"bomFormat"', '"bomFormats"')) is not None


# pace


def test_a_rate_is_shared_by_all_who_take_from_it():
    now = [0.0]
    throttle = Throttle(100.0, lambda: now[0])

    assert throttle.delay(50) == 0.5
    assert throttle.delay(50) == 1.0
    now[0] = 5.0
    assert throttle.delay(10) == pytest.approx(0.1)
    assert Throttle(0.0, lambda: 0.0).delay(10**9) == 0.0
