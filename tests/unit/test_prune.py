"""Choosing what leaves the cache: a pure decision over a scan."""

from __future__ import annotations

import pytest

from hubloader.cache.prune import Reason, choose, choose_named
from hubloader.cache.report import CacheReport, Leftover, RepoReport, RevisionReport
from hubloader.types import RepoId

DAY = 24 * 3600.0
NOW = 1000 * DAY
A, B = RepoId.parse("org/a"), RepoId.parse("org/b")
OLD, MID, NEW = "1" * 40, "2" * 40, "3" * 40


def revision(commit, days, *contents, refs=("main",), came=None):
    """A revision loaded so many days ago; None: never."""
    used = None if days is None else NOW - days * DAY
    return RevisionReport(commit, refs, len(contents), 0, used, NOW - (came or 0) * DAY, contents)


def repo(name, contents, *revisions, leftovers=()):
    inside = sum(left.size for left in leftovers if left.kind in {"orphan", "incomplete"})
    size = sum(contents.values()) + inside
    return RepoReport(name, f"/cache/{name}", revisions, size, 0, (), contents, tuple(leftovers))


def report(*repos):
    return CacheReport("/cache", repos, ())


def chosen(plan):
    return [(str(r.repo), r.commit[0], r.freed, r.reason.name) for r in plan.removals]


TWO = report(
    repo(A, {"x": 10, "y": 20, "z": 5}, revision(OLD, 50, "x", "y"), revision(NEW, 1, "y", "z")),
    repo(B, {"w": 100}, revision(MID, 20, "w")),
)


def test_the_least_recently_loaded_go_first_until_the_rest_is_small_enough():
    assert chosen(choose(TWO, now=NOW, max_size=135)) == []
    assert chosen(choose(TWO, now=NOW, max_size=130)) == [("org/a", "1", 10, "SIZE")]
    assert chosen(choose(TWO, now=NOW, max_size=100)) == [
        ("org/a", "1", 10, "SIZE"),
        ("org/b", "2", 100, "SIZE"),
    ]


def test_what_goes_and_what_stays_add_up():
    plan = choose(TWO, now=NOW, max_size=0)

    assert plan.size == sum(removal.freed for removal in plan.removals) == 135
    assert plan.left == 0
    assert plan.whole == {A, B}


def test_a_content_is_freed_by_the_last_revision_that_has_it():
    plan = choose_named(TWO, [(A, NEW), (A, OLD)])

    assert chosen(plan) == [("org/a", "1", 10, "ASKED"), ("org/a", "3", 25, "ASKED")]


def test_a_revision_whose_going_would_free_nothing_stays():
    shared = report(
        repo(A, {"x": 10}, revision(OLD, 50, "x"), revision(NEW, 1, "x")),
        repo(B, {"w": 100}, revision(MID, 20, "w")),
    )

    assert chosen(choose(shared, now=NOW, max_size=10)) == [("org/b", "2", 100, "SIZE")]
    assert len(choose(shared, now=NOW, max_size=5).removals) == 3


def test_age_counts_from_the_last_load_and_without_one_from_when_it_came():
    never = report(
        repo(
            A,
            {"x": 1, "y": 1},
            revision(OLD, None, "x", came=40),
            revision(NEW, None, "y", came=10),
        )
    )

    assert chosen(choose(never, now=NOW, older_than=30 * DAY)) == [("org/a", "1", 1, "OLD")]
    assert chosen(choose(TWO, now=NOW, older_than=19 * DAY)) == [
        ("org/a", "1", 10, "OLD"),
        ("org/b", "2", 100, "OLD"),
    ]


def test_a_load_in_the_future_is_a_wrong_clock_and_counts_as_now():
    ahead = report(
        repo(A, {"x": 1}, revision(OLD, -400, "x")), repo(B, {"w": 1}, revision(MID, 1, "w"))
    )

    assert chosen(choose(ahead, now=NOW, older_than=1.0)) == [("org/b", "2", 1, "OLD")]


def test_only_what_no_ref_names_is_detached():
    loose = report(
        repo(A, {"x": 1, "y": 1}, revision(OLD, 0, "x", refs=()), revision(NEW, 90, "y"))
    )

    assert chosen(choose(loose, now=NOW, detached=True)) == [("org/a", "1", 1, "DETACHED")]
    assert chosen(choose(loose, now=NOW)) == []


@pytest.mark.parametrize("keep", [(A, None), (A, OLD)])
def test_what_is_to_be_kept_is_never_chosen(keep):
    everything = choose(TWO, now=NOW, max_size=0, older_than=0.0, detached=True, keep=[keep])
    named = choose_named(TWO, [(A, None)], keep=[keep])

    assert not {(r.repo, r.commit) for r in everything.removals} & {(A, OLD)}
    assert not {(r.repo, r.commit) for r in named.removals} & {(A, OLD)}
    assert A not in everything.whole | named.whole


def test_a_pin_holds_against_rules_and_not_against_being_named():
    pinned = report(repo(A, {"x": 1}, revision(OLD, 90, "x", refs=("hubloader/pin/prod",))))

    assert choose(pinned, now=NOW, max_size=0, older_than=1.0).idle
    assert chosen(choose_named(pinned, [(A, None)])) == [("org/a", "1", 1, "ASKED")]


def leftover(kind, age, size=7):
    return Leftover(f"/cache/models--org--a/{kind}", kind, size, NOW - age)


@pytest.mark.parametrize("kind", ["partial", "incomplete", "orphan", "quarantine", "draft"])
def test_leftovers_go_after_an_hour(kind):
    def plan(age):
        return choose(report(repo(A, {}, leftovers=[leftover(kind, age)])), now=NOW)

    assert plan(3599.0).idle
    assert [left.kind for left in plan(3600.0).leftovers] == [kind]
    assert plan(3600.0).size == 7
    assert plan(3600.0).left == 0


def test_a_repository_is_whole_only_when_nothing_of_it_stays():
    young = report(repo(A, {"x": 1}, revision(OLD, 90, "x"), leftovers=[leftover("orphan", 5.0)]))

    assert choose(young, now=NOW, max_size=0).whole == frozenset()
    assert choose_named(young, [(A, None)]).whole == {A}
    assert choose_named(young, [(A, OLD)]).whole == frozenset()


def test_what_is_not_cached_is_not_in_the_plan():
    assert choose_named(TWO, [(RepoId.parse("org/none"), None), (B, OLD)]).idle


def test_reasons_say_why():
    assert all(reason.value for reason in Reason)
