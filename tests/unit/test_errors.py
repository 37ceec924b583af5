"""The error tree: bases, exit codes, sentences, fields."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from hubloader import errors

CONTRACT = {
    "InvalidReference": (ValueError, 2),
    "NotFound": (FileNotFoundError, 3),
    "RepositoryNotFound": (FileNotFoundError, 3),
    "RevisionNotFound": (FileNotFoundError, 3),
    "EntryNotFound": (FileNotFoundError, 3),
    "AccessDenied": (PermissionError, 4),
    "AuthenticationRequired": (PermissionError, 4),
    "GatedRepository": (PermissionError, 4),
    "Forbidden": (PermissionError, 4),
    "IntegrityError": (OSError, 5),
    "CacheMiss": (FileNotFoundError, 6),
    "LockOutOfDate": (ValueError, 7),
    "DiskFull": (OSError, 8),
    "PolicyRefused": (ValueError, 9),
    "UnsafeFile": (ValueError, 9),
    "RemoteCodeRefused": (ValueError, 9),
    "LockTimeout": (TimeoutError, 10),
    "TransportError": (ConnectionError, 75),
    "HubError": (OSError, 75),
    "CorruptFile": (OSError, 1),
    "UnknownArchitecture": (ValueError, 1),
    "UnsupportedArchitecture": (ValueError, 1),
    "UnknownTokenizer": (ValueError, 1),
    "UnsupportedTask": (ValueError, 1),
    "WeightsMismatch": (RuntimeError, 1),
    "BackendUnavailable": (ImportError, 1),
}
CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, errors.HubloaderError)
]


def make(cls: type[errors.HubloaderError], **context):
    extra = {"status": 500} if cls is errors.ServerFailed else {}
    return cls("something happened", **extra, **context)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_class_has_the_base_and_exit_code_of_the_contract(name: str):
    base, code = CONTRACT[name]
    error = make(getattr(errors, name))

    assert isinstance(error, base)
    assert isinstance(error, errors.HubloaderError)
    assert error.exit_code == code


def test_a_corrupt_file_is_a_value_error_too():
    assert issubclass(errors.CorruptFile, ValueError)


def test_a_miss_with_a_failed_network_is_worth_trying_again():
    assert errors.CacheMiss("gone", offline=False).exit_code == 75


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_says_where_and_what_to_do_and_survives_pickling(cls):
    error = make(cls, repo_id="org/name", revision="main", filename="config.json", hint="try this")

    for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is cls
        assert (twin.repo_id, twin.revision, twin.filename) == ("org/name", "main", "config.json")
        assert str(twin) == (
            "something happened (org/name, revision main, file config.json)\nhint: try this"
        )


def test_a_sentence_does_not_repeat_what_it_says_already():
    error = errors.NotFound(
        "no config.json in org/name", repo_id="org/name", filename="config.json"
    )

    assert error.sentence() == "no config.json in org/name"


def test_about_fills_what_an_error_does_not_say_and_keeps_what_it_does():
    with pytest.raises(errors.NotFound) as caught, errors.about(repo_id="org/a", filename="x"):
        raise errors.NotFound("not there", filename="y")

    assert (caught.value.repo_id, caught.value.filename) == ("org/a", "y")


def test_the_tree_in_the_docstring_names_every_class():
    missing = [cls.__name__ for cls in CLASSES if cls.__name__ not in (errors.__doc__ or "")]

    assert missing == []


def test_all_is_sorted_and_complete():
    assert list(errors.__all__) == sorted(errors.__all__)
    assert {cls.__name__ for cls in CLASSES} | {"about", "gravity"} == set(errors.__all__)


def test_of_several_errors_the_one_that_leads_is_the_first_in_the_documents_order():
    page = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text(encoding="utf-8")
    told = re.search(r"the first that occurs of\s+([\d, ]+)\.", page)
    order = [int(code) for code in told[1].split(",")]
    ranked = sorted((make(cls) for cls in CLASSES), key=errors.gravity)

    led = list(dict.fromkeys(error.exit_code for error in ranked))
    assert led == [code for code in order if code in led]
    assert set(order) - set(led) == set()
    assert errors.gravity(ValueError("x")) == errors.gravity(errors.HubloaderError("x"))
