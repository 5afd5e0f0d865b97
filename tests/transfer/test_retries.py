from collections.abc import Iterator

import pytest

from stage_in.errors import (
    BusyError,
    NotFoundError,
    OutputError,
    ProductError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.transfer import retries
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.retries import Retries


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


class Attempt:
    """Fails as told, in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors: Iterator[Exception] = iter(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        for error in self._errors:
            raise error
        return "done"


@pytest.mark.parametrize("kind", [VerificationError, NotFoundError, UnauthorizedError])
def test_three_wrong_answers_end_it(kind: type[StageInError]) -> None:
    passes = Attempt(*[kind("x")] * 2)
    assert Retries(Arrivals(), 9)(passes) == "done"
    fails = Attempt(*[kind("x")] * 3)
    with pytest.raises(kind, match=r"^x$"):
        Retries(Arrivals(), 9)(fails)
    assert fails.tries == 3


@pytest.mark.parametrize("kind", [ProductError, OutputError, ValueError, KeyboardInterrupt])
def test_what_cannot_pass_is_not_tried_again(kind: type[Exception]) -> None:
    attempt = Attempt(kind("x"))
    with pytest.raises(kind):
        Retries(Arrivals(), 9)(attempt)
    assert attempt.tries == 1


def test_a_failing_service_is_not_counted() -> None:
    attempt = Attempt(VerificationError("x"), *[TemporaryError("y")] * 6, VerificationError("x"))
    assert Retries(Arrivals(), 9)(attempt) == "done"
    assert attempt.tries == 9


def test_patience_ends() -> None:
    progress = Arrivals()
    attempt = Attempt(*[TemporaryError("status 503")] * 1000)
    with pytest.raises(TemporaryError, match=r"nothing new arrived for 0.2 s.*status 503"):
        Retries(progress, 0.2)(attempt)
    assert 0.2 <= progress.silence < 2
    assert 2 <= attempt.tries < 100


def test_what_arrives_renews_patience() -> None:
    progress = Arrivals()
    attempt = Attempt(*[TemporaryError("x")] * 8)

    def arriving() -> str:
        progress.record("url", attempt.tries + 1)
        return attempt()

    assert Retries(progress, 0.1)(arriving) == "done"


def test_what_arrives_again_does_not() -> None:
    progress = Arrivals()

    def cut_at_the_same_place() -> None:
        progress.record("url", 100)
        raise TemporaryError("cut")

    with pytest.raises(TemporaryError, match="nothing new arrived"):
        Retries(progress, 0.2)(cut_at_the_same_place)


def test_the_server_says_how_long_to_wait() -> None:
    slept: list[float] = []
    attempt = Attempt(TemporaryError("x", 7), TemporaryError("x", 500))
    assert Retries(Arrivals(), 60, slept.append)(attempt) == "done"
    assert slept == [7, pytest.approx(60, abs=1)]  # the last try is made when patience ends


def test_a_place_is_waited_for_elsewhere() -> None:
    slept: list[float] = []
    assert Retries(Arrivals(), 60, slept.append)(Attempt(BusyError("x", 7))) == "done"
    assert slept == [0]
