"""What is worth trying again, and when.

==================================================  ================================================
what happened                                       what is done
==================================================  ================================================
reset, silence, a body cut short                    again after a backoff with jitter
no connection                                       the same, within a budget of its own: who is not
                                                    there now is seldom there in a minute
TLS, a refused redirect, a bad address              not again
408, 5xx (but for 501, 505, 511: it will not do it)  again after a backoff, or what Retry-After says
any of these, where a request gave up after all     not again, until that origin answers or a minute
its tries and nothing was answered since            has passed: ``health.py``
429                                                 after Retry-After or RateLimit, else a backoff;
                                                    other requests to the same origin wait too, also
                                                    those of other processes with the same cache
400, 401, 403, 404, 410 from another origin than    once more, at once, from the start: the signed
the one asked                                       address was stale, the next one is not
any other status                                    not again: it is the answer
==================================================  ================================================

All tries of one request share a budget of seconds. A wait that does not fit in what is left of it
is not begun: the answer is handed out as it is, with the time it asked for.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from hubloader.errors import (
    ConnectFailed,
    InvalidReference,
    RateLimited,
    RedirectRefused,
    ServerFailed,
    TimedOut,
    TransportError,
)
from hubloader.transport.auth import Origin
from hubloader.transport.health import OriginHealth
from hubloader.transport.pacing import wait_asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubloader.errors import HubloaderError
    from hubloader.transport.base import Request, Response, Transport
    from hubloader.transport.health import SharedPauses

__all__ = [
    "RETRIED_STATUSES",
    "RetryPolicy",
    "Retrying",
    "Trouble",
    "failing_origin",
    "healthy_delay",
]

_NEVER_DONE = frozenset({501, 505, 511})  # no such method, HTTP version, or login to this network
RETRIED_STATUSES: Final = frozenset({408, 429, *range(500, 600)}) - _NEVER_DONE
_STALE_ADDRESS: Final = frozenset({400, 401, 403, 404, 410})
_TOO_MANY: Final = 429


@dataclass(frozen=True)
class Trouble:
    """What went wrong with one try.

    ``kind`` is ``passing`` (worth a backoff), ``unreachable`` (the same, for a shorter time),
    ``stale-address`` (ask again from the start) or ``final``. ``wait`` is the seconds that the
    server asked for.
    """

    kind: Literal["passing", "unreachable", "stale-address", "final"]
    wait: float | None = None

    @classmethod
    def of_error(cls, error: HubloaderError) -> Trouble:
        """Judge an error; also one raised inside a body, or made from an answer."""
        if isinstance(error, TransportError):
            return cls(_kind(error))
        if isinstance(error, RateLimited):
            return cls("passing", error.retry_after)
        if isinstance(error, ServerFailed) and error.status in RETRIED_STATUSES:
            return cls("passing", error.retry_after)
        return cls("final")

    @classmethod
    def of_answer(cls, request: Request, response: Response) -> Trouble | None:
        """Judge an answer; None when it is no trouble, or one that trying again does not mend."""
        if response.status in RETRIED_STATUSES:
            return cls("passing", wait_asked(response.headers))
        elsewhere = response.url != request.url and Origin.of(response.url) != Origin.of(
            request.url
        )
        if elsewhere and response.status in _STALE_ADDRESS:
            return cls("stale-address")
        return None


def _kind(error: TransportError) -> Literal["passing", "unreachable", "final"]:
    if isinstance(error, RedirectRefused):
        return "final"
    if isinstance(error, ConnectFailed):
        return "unreachable" if error.retryable else "final"
    return "unreachable" if isinstance(error, TimedOut) and error.connecting else "passing"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long. Times are seconds.

    Args:
        budget: for all tries of one request together.
        connect_budget: the same, for tries that make no connection.
        max_attempts: tries, the first included.
        first_delay: before the second try; doubled before each further one.
        max_delay: the longest backoff. A wait the server asks for may be longer.
        jitter: gives a number in [0, 1); a backoff is between half of its length and all of it,
            so that many clients do not come back at once.

    """

    budget: float = 120.0
    connect_budget: float = 5.0
    max_attempts: int = 6
    first_delay: float = 0.5
    max_delay: float = 8.0
    jitter: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def next_delay(self, attempt: int, trouble: Trouble, elapsed: float) -> float | None:
        """How long to wait before the next try; None when there is to be none.

        Args:
            attempt: the number of the try that failed, from 1.
            trouble: what became of it.
            elapsed: seconds since the first try began.

        """
        if trouble.kind == "final" or attempt >= self.max_attempts:
            return None
        if trouble.kind == "stale-address":
            return 0.0 if attempt == 1 else None
        backoff = min(self.max_delay, self.first_delay * 2.0 ** (attempt - 1))
        delay = backoff * (1 + self.jitter()) / 2
        if trouble.wait is not None:
            delay = max(trouble.wait, delay)
        budget = self.budget
        if trouble.kind == "unreachable":
            budget = min(budget, self.connect_budget)
        return delay if elapsed + delay <= budget else None


class Retrying:
    """A transport that tries again.

    Args:
        transport: sends each try.
        policy: how often, and for how long.
        clock: counts seconds.
        sleep: waits them.
        health: what the process knows of the origins; None to begin knowing nothing.
        pauses: where other processes tell of the pauses they were asked for; None for no others.

    """

    def __init__(
        self,
        transport: Transport,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        health: OriginHealth | None = None,
        pauses: SharedPauses | None = None,
    ) -> None:
        self._transport = transport
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._health = health or OriginHealth(clock)
        self._pauses = pauses

    def send(self, request: Request) -> Response:
        """Send ``request``, as often as the policy says.

        Returns:
            The first answer that is no trouble, or the last one that is.

        Raises:
            TransportError: the last try brought no answer.

        """
        if request.timeouts.total is not None:
            return self._transport.send(request)
        started = self._clock()
        attempt = 1
        while True:
            self._wait_turn(request, started)
            try:
                response = self._transport.send(request)
            except TransportError as error:
                origin = failing_origin(error, request.url)
                delay = self._delay(request, attempt, Trouble.of_error(error), started, origin)
                if delay is None:
                    raise
            else:
                trouble = Trouble.of_answer(request, response)
                origin = Origin.of(response.url)
                if trouble is None:
                    self._health.answered(origin)
                    return response
                self._remember(request, response, trouble)
                delay = self._delay(request, attempt, trouble, started, origin)
                if delay is None:
                    return response
                response.close()
            self._sleep(delay)
            attempt += 1

    def close(self) -> None:
        """Close the transport underneath."""
        self._transport.close()

    def _delay(
        self, request: Request, attempt: int, trouble: Trouble, started: float, origin: Origin
    ) -> float | None:
        if trouble.kind != "stale-address" and not request.repeat:
            return None
        elapsed = self._clock() - started
        return healthy_delay(self._policy, attempt, trouble, elapsed, self._health, origin)

    def _remember(self, request: Request, response: Response, trouble: Trouble) -> None:
        if response.status == _TOO_MANY and trouble.wait is not None:
            origin = Origin.of(request.url)
            self._health.pause(origin, self._clock() + trouble.wait)
            if self._pauses is not None:
                self._pauses.tell(str(origin), trouble.wait)

    def _wait_turn(self, request: Request, started: float) -> None:
        # 32 threads, or processes, that each find out about a limit are a storm of 429s
        origin = Origin.of(request.url)
        until, now = self._health.paused_until(origin), self._clock()
        if self._pauses is not None:
            left = self._pauses.left(str(origin))
            until = max(until, now + left) if left else until
        if now < until <= started + self._policy.budget:
            self._sleep(until - now)


def healthy_delay(
    policy: RetryPolicy,
    attempt: int,
    trouble: Trouble,
    elapsed: float,
    health: OriginHealth,
    origin: Origin,
) -> float | None:
    """As ``RetryPolicy.next_delay``, but None for an origin that only fails; notes who gives up."""
    fails = trouble.kind in {"passing", "unreachable"} and trouble.wait is None
    if fails and health.is_failing(origin):
        return None
    delay = policy.next_delay(attempt, trouble, elapsed)
    if fails and delay is None:
        health.gave_up(origin, elapsed)
    return delay


def failing_origin(error: HubloaderError, url: str) -> Origin:
    """Whose failure an error is: of the address it names, else of the one that was asked."""
    try:
        return Origin.of(error.url or url)
    except InvalidReference:
        return Origin.of(url)
