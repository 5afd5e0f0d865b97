import asyncio
from types import SimpleNamespace

import pytest

from sandbox import streams
from sandbox.body import Chunks


class Clock:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(streams, "time", clock)
    monkeypatch.setattr(streams, "asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


async def source(*chunks: bytes) -> Chunks:
    for chunk in chunks:
        yield chunk


def collect(stream: Chunks, clock: Clock) -> list[tuple[float, bytes]]:
    """Return the chunks with the times at which they are sent."""

    async def collect_all() -> list[tuple[float, bytes]]:
        return [(clock.now, chunk) async for chunk in stream]

    return asyncio.run(collect_all())


def test_throttle_sends_evenly(clock: Clock) -> None:
    found = collect(streams.throttle(source(bytes(20_000), bytes(5_000)), rate=50_000), clock)
    assert [len(chunk) for _, chunk in found] == [2500] * 10
    assert [time for time, _ in found] == pytest.approx([0.05 * n for n in range(1, 11)])


def test_stall_delays_only_what_follows_the_offset(clock: Clock) -> None:
    found = collect(streams.stall(source(b"abc", b"def"), at=4, seconds=30), clock)
    assert found == [(0, b"abc"), (0, b"d"), (pytest.approx(30), b"ef")]


def test_stall_ends_when_it_is_over(clock: Clock) -> None:
    is_over = lambda: clock.now >= 7  # noqa: E731
    found = collect(streams.stall(source(b"abc"), at=1, seconds=30, is_over=is_over), clock)
    assert found == [(0, b"a"), (pytest.approx(7, abs=streams.CHECK_INTERVAL), b"bc")]
