"""For how long the platform still counts a download after its end."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from requests.auth import AuthBase

from benchmarks.live.probe import Answer, Prober
from stage_in.transfer.quota import MAX_CONNECTIONS

_INTERVAL = 0.25  # seconds between two requests for a slot
_PATIENCE = 30.0  # seconds after which the measurement is given up


@dataclass(frozen=True)
class Lag:
    """What happened to requests right after all slots had been in use.

    Attributes:
        granted: how many of the first downloads were granted.
        refused: how many requests after them were refused.
        at_least: seconds after the end of the last download at which a request was still refused.
        at_most: seconds after the end of the first one at which a request was granted; None if
            none was.
        refusal: the first refusal, of any request.
    """

    granted: int
    refused: int
    at_least: float
    at_most: float | None
    refusal: Answer | None

    def __str__(self) -> str:
        if self.at_most is None:
            return f"more than {self.at_least:.1f} s: no further request was granted"
        if not self.refused:
            return f"less than {self.at_most:.2f} s: no request was refused"
        # The first slot may have been free before the last download had ended.
        return (
            f"between {min(self.at_least, self.at_most):.1f} and {self.at_most:.1f} s: "
            f"{self.refused} requests were refused"
        )


def measure_finished(prober: Prober, url: str, auth: AuthBase) -> Lag:
    """Download a small file as often as there are slots, at the same time and to the end."""
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        answers = [*pool.map(lambda _: prober.ask(url, auth), range(MAX_CONNECTIONS))]
    return _wait_for_slot(answers, lambda: prober.ask(url, auth))


def measure_cancelled(prober: Prober, large: str, small: str, auth: AuthBase) -> Lag:
    """Open a large file as often as there are slots, close all, and request a small one."""
    with ExitStack() as stack:
        answers = [stack.enter_context(prober.hold(large, auth))[0] for _ in range(MAX_CONNECTIONS)]
    return _wait_for_slot(answers, lambda: prober.ask(small, auth))


def _wait_for_slot(answers: list[Answer], ask: Callable[[], Answer]) -> Lag:
    granted = [answer for answer in answers if answer.status < 400]
    refusals = [answer for answer in answers if answer.is_busy]
    ends = sorted(answer.ended for answer in granted) or [time.monotonic()]
    refused, at_least = 0, 0.0
    while True:
        requested = time.monotonic()
        answer = ask()
        if not answer.is_busy:
            at_most = None if answer.status >= 400 else requested + answer.seconds - ends[0]
            break
        refused += 1
        refusals.append(answer)
        at_least = max(requested - ends[-1], 0.0)
        if requested - ends[-1] > _PATIENCE:
            at_most = None
            break
        time.sleep(_INTERVAL)
    return Lag(len(granted), refused, at_least, at_most, next(iter(refusals), None))
