"""Rows 1 to 19, 25 and 26 of the fault catalogue: what can go wrong inside the bytes of a file.

Each fault hits a regular file, an LFS file in one stream, and an LFS file in ranges. The ``world``
fixture holds the promises after each test: nothing unverified is visible, a rerun mends the rest.
"""

from __future__ import annotations

import gzip

import fault_hub as faults
import pytest
from fault_hub import Asked, Fault, FaultHub, _sent, _simple, body, listing
from network_world import KIB, SIZES, VOCAB, WEIGHTS, World, endless, of, shrink

from hubloader.errors import (
    CacheMiss,
    HubError,
    IntegrityError,
    Interrupted,
    MalformedAnswer,
    TimedOut,
    TransportError,
)

PLACES = [0.0, 0.00001, 0.1, 0.5, 0.93, 1.0]  # of the answer; 1.0 is all but its last byte
ENCODED = (MalformedAnswer, IntegrityError)


def cut_at(place: float, *, reset: bool) -> Fault:
    """Break off at a part of the answer."""

    async def fault(asked: Asked):
        size = len(asked.content())
        return await faults.cut(min(int(size * place), size - 1), reset=reset)(asked)

    return fault


def after_headers(changed: dict[str, str | None], fault: Fault) -> Fault:
    """Change headers first, then do ``fault``."""

    async def both(asked: Asked):
        await faults.headers(**changed)(asked)
        return await fault(asked)

    return both


def start_of(wanted: str | None) -> int:
    return 0 if wanted is None else int(wanted.removeprefix("bytes=").partition("-")[0])


# Rows 1 and 2: the connection breaks


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("times", [1, 4])
def test_a_body_that_breaks_off_is_gone_on_with(world, victim, place, reset, times):
    fault = world.inject(cut_at(place, reset=reset), body(victim), times)

    world.load_well()

    assert fault.hits == times


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
def test_a_broken_stream_goes_on_at_the_byte_where_it_stopped(world, reset):
    world.inject(faults.cut(after=123_456, reset=reset), body(WEIGHTS))

    world.load_well()

    first, second = world.asked(WEIGHTS)
    assert first is None
    if reset:  # what lay in the socket is lost with it
        assert 0 <= start_of(second) <= 123_456
    else:
        assert start_of(second) == 123_456


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
def test_a_server_that_always_cuts_after_some_progress_is_outlasted(world, victim, reset):
    fault = world.inject(faults.cut(after=20_000, reset=reset), body(victim), times=None)

    error = world.load_somehow()

    if not reset:  # a reset may swallow what was sent before it, and then nothing gets further
        assert error is None
        assert fault.hits >= SIZES[victim] // 20_000


# Row 3: nothing comes


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("after", [0, 1, 100])
def test_a_body_that_never_gets_far_is_given_up_after_six_tries(world, victim, after, reset):
    fault = world.inject(faults.cut(after, reset=reset), body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, Interrupted)
    assert error.filename == victim
    assert error.exit_code == 75
    tries = tries_of_each_share(world.asked(victim))
    assert max(tries) <= 6
    assert fault.hits <= sum(tries)
    assert len(tries) <= 16


def tries_of_each_share(asked: list[str | None]) -> list[int]:
    """Count the requests for each share of a file.

    A share is known by where it begins, not by its end: a connection that helps takes the second
    half of a share over, with its end. Six tries of 100 bytes move a beginning by less than 1,000
    bytes; two shares begin at least ``_SMALLEST_SHARE``, 32 KiB here, apart.
    """
    counts: list[int] = []
    last = -KIB
    for start in sorted(start_of(wanted) for wanted in asked):
        if start - last >= KIB:
            counts.append(0)
        counts[-1] += 1
        last = start
    return counts


# Rows 5 and 6: other bytes


@pytest.mark.parametrize("at", [0, 1, 9_999, -1])
def test_a_flipped_byte_is_found_and_the_file_fetched_once_more(world, victim, at):
    world.inject(faults.flip(at), body(victim))

    world.load_well()


@pytest.mark.parametrize(
    "fault",
    [faults.flip(0), faults.flip(-1), faults.zeros()],
    ids=["first byte", "last byte", "zeros"],
)
def test_bytes_that_are_always_wrong_are_an_integrity_error(world, victim, fault):
    hits = world.inject(fault, body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, IntegrityError)
    assert error.exit_code == 5
    assert error.filename == victim
    assert error.expected
    assert error.actual
    assert error.expected != error.actual
    if victim == VOCAB:
        assert hits.hits == 2


def test_zeros_once_are_outlasted(world, victim):
    world.inject(faults.zeros(), body(victim))

    world.load_well()


# Rows 7 and 8: other lengths


@pytest.mark.parametrize("extra", [1, 10, 100_000])
@pytest.mark.parametrize("times", [1, None])
def test_a_length_that_is_overstated_does_no_harm_to_bytes_that_match(world, victim, extra, times):
    world.inject(faults.overstated(extra), body(victim), times)

    world.load_well()


@pytest.mark.parametrize("extra", [1, 1000, 1_000_000])
def test_more_bytes_than_were_announced_are_refused(world, victim, extra):
    world.inject(faults.overlong(extra), body(victim))

    world.load_well()


@pytest.mark.parametrize("fault", [faults.overlong(1), endless()], ids=["one more", "endless"])
def test_a_body_is_cut_off_one_byte_after_its_size(world, victim, fault):
    world.inject(fault, body(victim), times=None)

    error = world.load_somehow()

    if victim == VOCAB or error is not None:
        assert isinstance(error, (IntegrityError, HubError))
        assert error.filename == victim


# Rows 9 and 10: bodies without a length


@pytest.mark.parametrize("place", [0.0, 0.4, 0.99])
def test_chunks_that_do_not_end_are_a_body_cut_short(world, victim, place):
    after = int(SIZES[victim] * place / 4)
    world.inject(faults.unchunked_end(after), body(victim))

    world.load_well()


@pytest.mark.parametrize("after", [0, 1, 20_000, None])
def test_a_body_that_ends_with_its_connection_is_measured_by_the_listing(world, victim, after):
    world.inject(faults.no_length(after), body(victim))

    world.load_well()


def test_bodies_that_always_end_too_early_are_an_error(world, victim):
    world.inject(faults.no_length(100), body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, TransportError)


# Rows 11 to 14: answers to a part


BROKEN = [1, 20_000, 39_999]  # bytes: the first one alone, about half, all but the last one

broken = pytest.mark.parametrize("after", BROKEN)


def break_off(world: World, victim: str, after: int = 20_000) -> None:
    """Make the client ask for a part: a single stream only does so when it broke."""
    world.inject(faults.cut(after=after), of(victim, resumed=False))


@broken
@pytest.mark.parametrize("times", [1, None])
def test_a_server_that_ignores_ranges_is_read_from_the_beginning(world, victim, times, after):
    break_off(world, victim, after)
    fault = world.inject(faults.ignore_range(), of(victim, resumed=True), times)

    world.load_well()

    assert fault.hits


@pytest.mark.parametrize(
    ("shift", "after"), [(-7, 20_000), (-1, 1), (-1, 39_999), (1, 20_000), (1000, 1)]
)
@pytest.mark.parametrize("admitted", [True, False], ids=["admitted", "a lie"])
@pytest.mark.parametrize("times", [1, None])
def test_a_part_from_elsewhere_is_not_stitched_in(world, victim, shift, after, admitted, times):
    break_off(world, victim, after)

    def not_at_the_start(asked: Asked) -> bool:
        return of(victim, resumed=True)(asked) and asked.answer.start + shift >= 0

    fault = world.inject(faults.wrong_offset(shift, admitted=admitted), not_at_the_start, times)

    error = world.load_somehow()

    assert fault.hits
    assert error is None or isinstance(error, (IntegrityError, HubError, TransportError))
    if admitted or times == 1:
        assert error is None


@broken
@pytest.mark.parametrize("times", [1, None])
def test_a_part_of_an_untold_whole_is_taken(world, victim, times, after):
    break_off(world, victim, after)
    fault = world.inject(faults.unknown_total(), of(victim, resumed=True), times)

    world.load_well()

    assert fault.hits
    assert len(world.asked(victim)) <= 3 + 16


@broken
@pytest.mark.parametrize("times", [1, None])
def test_no_such_range_begins_the_file_anew(world, victim, times, after):
    break_off(world, victim, after)
    fault = world.inject(faults.status(416), of(victim, resumed=True), times)

    world.load_well()

    assert fault.hits


# Rows 15 to 17: the content changes under the download


def changed_part(other: bytes, **fields: str | None) -> Fault:
    """The asked part of another version, from a server that knows no ``If-Range``."""

    def make(asked: Asked):
        start = asked.answer.start
        part = other[start : start + len(asked.content())]
        return _sent(asked, part, **{"ETag": f'"{"1" * 64}"', **fields})

    return _simple(make)


@pytest.mark.parametrize("size", [-1000, 0, 1000])
@pytest.mark.parametrize("times", [1, None])
def test_a_content_that_changed_since_the_listing_is_no_file_of_the_commit(
    world, victim, size, times
):
    other = bytes(reversed(world.files[victim])) + bytes(1000)
    fault = faults.other_content(other[: SIZES[victim] + size])
    world.inject(fault, body(victim), times)

    error = world.load_somehow()

    if times is None:
        assert isinstance(error, (IntegrityError, HubError, TransportError))
    else:
        assert error is None


@broken
@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("whole", [True, False], ids=["If-Range kept", "If-Range ignored"])
def test_two_versions_are_not_stitched(world, victim, whole, times, after):
    other = bytes(reversed(world.files[victim]))
    break_off(world, victim, after)
    change = faults.other_content(other) if whole else changed_part(other)
    fault = world.inject(change, of(victim, resumed=True), times)

    error = world.load_somehow()

    assert fault.hits
    assert error is None or isinstance(error, IntegrityError)
    if times == 1:
        assert error is None


def test_a_resumed_stream_names_the_version_it_began_with(world):
    world.inject(faults.cut(after=100_000), body(WEIGHTS))
    conditions: list[str | None] = []

    def listen(asked: Asked) -> bool:
        if of(WEIGHTS, resumed=True)(asked):
            conditions.append(asked.request.headers.get("If-Range"))
        return False

    world.inject(faults.status(500), listen)

    world.load_well()

    assert len(conditions) == 1
    assert conditions[0] is not None
    assert conditions[0].startswith('"')


@pytest.mark.parametrize("place", [0.00001, 0.6, 1.0])
@pytest.mark.parametrize("etag", ['W/"weak"', None, '"../../../../pwned"', "bare", '"'])
def test_a_weak_or_missing_etag_leaves_the_decision_to_the_hash(world, victim, etag, place):
    world.inject(after_headers({"ETag": etag}, cut_at(place, reset=False)), body(victim))
    world.inject(faults.headers(ETag=etag), body(victim), times=None)

    world.load_well()


@broken
@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_without_a_strong_etag_a_changed_content_is_still_not_stitched(world, victim, etag, after):
    other = bytes(reversed(world.files[victim]))
    world.inject(after_headers({"ETag": etag}, faults.cut(after=after)), body(victim))
    world.inject(changed_part(other, ETag=etag), of(victim, resumed=True))

    world.load_well()


# Rows 18 and 19: encoded bodies


def compressed_after(place: int) -> Fault:
    """A part whose encoding is of the part alone (row 18, on resume)."""

    def make(asked: Asked):
        return _sent(asked, gzip.compress(asked.content()[place:]), Content_Encoding="gzip")

    return _simple(make)


@pytest.mark.parametrize("times", [1, None])
def test_an_encoded_file_is_refused(world, victim, times):
    fault = world.inject(faults.gzipped(), body(victim), times)

    error = world.load_somehow()

    assert fault.hits
    assert error is None or isinstance(error, ENCODED)
    if times is None:
        assert isinstance(error, MalformedAnswer)
        assert "encoded" in str(error)


@broken
@pytest.mark.parametrize("times", [1, None])
def test_an_encoded_part_is_refused(world, victim, times, after):
    break_off(world, victim, after)
    fault = world.inject(compressed_after(0), of(victim, resumed=True), times)

    error = world.load_somehow()

    assert fault.hits
    assert error is None or isinstance(error, ENCODED)


def test_files_are_asked_for_unencoded(world, victim):
    seen: list[str | None] = []

    def listen(asked: Asked) -> bool:
        if body(victim)(asked):
            seen.append(asked.request.headers.get("Accept-Encoding"))
        return False

    world.inject(faults.status(500), listen)

    world.load_well()

    assert set(seen) == {"identity"}


@pytest.mark.parametrize("times", [1, None])
def test_a_bomb_in_place_of_a_file_does_not_go_off(world, victim, times):
    world.inject(faults.gzip_bomb(16 * 2**20), body(victim), times)

    error = world.load_somehow()

    assert error is None or isinstance(error, ENCODED)


def test_a_bomb_in_place_of_the_listing_does_not_go_off(world):
    world.inject(faults.gzip_bomb(256 * 2**20), listing(), times=None)

    error = world.load_badly()

    assert isinstance(error, CacheMiss)
    assert isinstance(error.__cause__, MalformedAnswer)


# Rows 25 and 26: too slow, and silent


IMPATIENCE = "1"  # seconds: longer than a busy machine keeps a good answer back


@pytest.mark.parametrize("after", [0, 30_000])
def test_a_server_that_drips_is_left_for_another_try(world, victim, after):
    world.settings["HUBLOADER_IDLE_TIMEOUT"] = IMPATIENCE
    fault = world.inject(faults.drip(100, after=after), body(victim))

    world.load_well()

    assert fault.hits == 1


def test_a_server_that_always_drips_is_too_slow(world, victim):
    world.settings |= {"HUBLOADER_IDLE_TIMEOUT": IMPATIENCE, "HUBLOADER_MAX_ATTEMPTS": "2"}
    world.inject(faults.drip(100), body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, TimedOut)
    assert "slower than" in str(error) or "silent" in str(error)


@pytest.mark.parametrize("after", [0, 1, 20_000, 39_999])
def test_a_server_that_falls_silent_is_asked_again_for_the_rest(world, victim, after):
    world.settings["HUBLOADER_IDLE_TIMEOUT"] = IMPATIENCE
    fault = world.inject(faults.stall(after), body(victim))

    world.load_well()

    assert fault.hits == 1
    if victim == VOCAB and after:
        assert start_of(world.asked(VOCAB)[1]) == after


def test_a_server_that_is_always_silent_is_a_timeout(world, victim):
    world.settings |= {"HUBLOADER_IDLE_TIMEOUT": IMPATIENCE, "HUBLOADER_MAX_ATTEMPTS": "2"}
    world.inject(faults.stall(10), body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, TimedOut)
    assert error.exit_code == 75


def test_what_was_received_before_an_error_is_not_fetched_again(world: World):
    hub: FaultHub = world.hub
    world.settings["HUBLOADER_MAX_ATTEMPTS"] = "2"
    world.inject(faults.cut(after=200_000), body(WEIGHTS))
    world.inject(faults.status(503), body(WEIGHTS), times=None)
    world.load_badly()
    hub.heal()
    hub.server.forget()

    world.load_well()

    assert [start_of(wanted) for wanted in world.asked(WEIGHTS)] == [200_000]


def test_one_connection_that_is_refused_does_not_wait_for_others_that_are_to_wait(
    world, monkeypatch
):
    shrink(monkeypatch, divided=True)
    world.settings["HUBLOADER_RETRY_BUDGET"] = "600"
    fatal = world.inject(faults.status(451), of_first_range)
    world.inject(faults.status(503, Retry_After="500"), body(WEIGHTS), times=None)

    error = world.load_badly()

    assert fatal.hits == 1
    assert isinstance(error, HubError)


def of_first_range(asked: Asked) -> bool:
    return of(WEIGHTS, resumed=True)(asked) and asked.answer.start == 0


def test_a_range_that_never_comes_is_given_up_while_the_others_get_on(world, monkeypatch):
    shrink(monkeypatch, divided=True)
    fault = world.inject(faults.status(503), of_first_range, times=None)

    error = world.load_badly()

    assert isinstance(error, HubError)
    assert error.filename == WEIGHTS
    assert fault.hits <= 6
