"""What the console remembers between two reads: backlogs, and when faults were on."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ops.lag.measure import Lag

_READS = 3  # of which each has at least the backlog of the one before, if a backlog grows
_LATE = 3  # intervals; an older read says nothing about the present


@dataclass(frozen=True)
class FaultPeriod:
    """When a fault switch was on, in epoch milliseconds; ``end`` is None while it is on."""

    name: str
    begin: int
    end: int | None = None


class Recent:
    """The last reads, ``interval`` seconds apart."""

    def __init__(self, interval: float) -> None:
        self._patience = interval * 1000 * _LATE
        self._backlogs: deque[tuple[int, dict[str, int]]] = deque(maxlen=_READS)
        self._faults: list[FaultPeriod] = []

    def add(self, at: int, lags: Sequence[Lag], faults: Collection[str]) -> None:
        """Add a read at ``at`` (epoch milliseconds) with the names of the fault switches that were on."""
        if self._backlogs and at - self._backlogs[-1][0] > self._patience:
            self._backlogs.clear()
        self._backlogs.append((at, {lag.consumer: lag.backlog for lag in lags}))
        self._faults = [
            FaultPeriod(past.name, past.begin, at) if past.end is None and past.name not in faults else past
            for past in self._faults
        ]
        known = {period.name for period in self._faults if period.end is None}
        self._faults += [FaultPeriod(name, at) for name in sorted(faults) if name not in known]

    @property
    def growing(self) -> frozenset[str]:
        """The consumers whose backlog has grown from read to read and was never empty."""
        if len(self._backlogs) < _READS:
            return frozenset()
        consumers = self._backlogs[-1][1]
        return frozenset(name for name in consumers if _grows([read.get(name, 0) for _, read in self._backlogs]))

    def fault_periods(self, since: int) -> tuple[FaultPeriod, ...]:
        """Return the periods that have not ended before ``since`` (epoch milliseconds), and forget the others."""
        self._faults = [period for period in self._faults if period.end is None or period.end > since]
        return tuple(self._faults)


def _grows(counts: list[int]) -> bool:
    return 0 < counts[0] < counts[-1] and counts == sorted(counts)
