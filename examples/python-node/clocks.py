"""Time for leases (section 9): a machine that slept, or a wall clock set back, must not prolong one."""

import time
from typing import NamedTuple

from google.protobuf import duration_pb2

_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Reading(NamedTuple):
    """Three clocks, in seconds, read at one moment."""

    monotonic: float
    uptime: float
    wall: float

    def elapsed(self) -> float:
        """Seconds since this reading, by the clock that shows the most."""
        return max(now - then for now, then in zip(read_clocks(), self, strict=True))


class Usable(NamedTuple):
    """Something that may be used for some seconds, counted from before it was asked for."""

    asked: Reading
    seconds: float

    def left(self) -> float:
        return self.seconds - self.asked.elapsed()


def read_clocks() -> Reading:
    return Reading(time.monotonic(), time.clock_gettime(_UPTIME), time.time())


def seconds_of(duration: duration_pb2.Duration) -> float:
    return duration.ToTimedelta().total_seconds()
