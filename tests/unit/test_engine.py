"""The engine's and the transfer's decisions, without a network."""

from __future__ import annotations

import copy
import threading

import pytest

from hubloader.errors import (
    DiskFull,
    EntryNotFound,
    Forbidden,
    GatedRepository,
    HubloaderError,
    IntegrityError,
    ServerFailed,
    TimedOut,
)
from hubloader.resolve import workers
from hubloader.resolve.engine import combined
from hubloader.resolve.workers import Stop, run_all


def test_one_failure_is_raised_as_it_is():
    error = TimedOut("silence")

    assert combined({"a": error}) is error


def test_several_failures_are_one_error_of_the_gravest_kind_that_tells_of_each():
    failures = {
        "a": ServerFailed("refused", status=500),
        "b": IntegrityError("wrong bytes", expected="1", actual="2", repo_id="org/name"),
        "c": EntryNotFound("gone"),
    }

    error = combined(failures)

    assert isinstance(error, IntegrityError)
    assert error.exit_code == 5
    assert error.message == ("3 files could not be fetched: b: wrong bytes; c: gone; a: refused")
    assert error.failures == (failures["b"], failures["c"], failures["a"])
    assert error.repo_id == "org/name"
    assert failures["b"].message == "wrong bytes"


def test_one_refusal_of_a_repository_is_one_error_for_any_number_of_files():
    gated = GatedRepository("the repository is gated", repo_id="org/name", revision="main")
    failures = {name: copy.copy(gated) for name in ("config.json", "vocab.txt")}

    error = combined(failures)

    assert error is failures["config.json"]
    assert error.failures == ()


def test_refusals_of_several_kinds_are_each_told():
    error = combined({"a": Forbidden("not for you"), "b": GatedRepository("gated")})

    assert len(error.failures) == 2


def test_what_is_the_same_of_several_files_is_said_once():
    error = combined({name: ServerFailed("no answer", status=500) for name in ("b", "a")})

    assert error.message == "2 files could not be fetched: a, b: no answer"
    assert len(error.failures) == 2


@pytest.mark.parametrize(
    ("errors", "leader"),
    [
        ((Forbidden("x"), EntryNotFound("x")), Forbidden),
        ((EntryNotFound("x"), DiskFull("x")), EntryNotFound),
        ((TimedOut("x"), HubloaderError("x")), HubloaderError),
    ],
)
def test_the_exit_code_is_the_first_in_the_contracts_order(errors, leader):
    assert type(combined({str(n): e for n, e in enumerate(errors)})) is leader


def test_every_job_runs_on_at_most_the_given_threads():
    seen: set[int] = set()
    ran: list[int] = []
    both = threading.Barrier(2)

    def job(number: int) -> None:
        if number < 2:
            both.wait(60)
        seen.add(threading.get_ident())
        ran.append(number)

    run_all([lambda n=n: job(n) for n in range(20)], 2, Stop())

    assert sorted(ran) == list(range(20))
    assert len(seen) == 2


def test_an_unexpected_error_of_a_job_is_raised_to_the_caller_and_stops_the_rest():
    ran: list[int] = []

    def job(number: int) -> None:
        ran.append(number)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all([lambda n=n: job(n) for n in range(10)], 1, Stop())

    assert ran == [0]


def test_something_is_done_meanwhile_and_its_failure_ends_the_jobs(monkeypatch):
    monkeypatch.setattr(workers, "_MEANWHILE_EVERY", 0.001)
    stop = Stop()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all([lambda: stop.wait(20) and None] * 3, 2, stop, meanwhile=fail)

    assert stop


def test_a_stop_ends_a_wait():
    stop = Stop()
    assert not stop
    stop.set()

    assert stop
    assert stop.wait(60.0)
