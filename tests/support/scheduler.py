"""Run handlers concurrently, one call at a time, in a chosen order that can be repeated.

Each handler has its own thread and process, but only one runs at a time: it stops before each call on the wire, and at
each sleep, until it gets its turn. So moto, which is not thread-safe, gets one call at a time.

A schedule has one letter for each turn: ``A`` runs to its next call, ``a`` crashes instead, ``T`` lets time pass.
"""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from dev.simulated.clock import Clock
from dev.simulated.functions import Process
from dev.simulated.wire import Call, Crash, Wire

TIME = "T"
_LETTERS = "ABCDEF"

Choose = Callable[[Sequence[str]], str]
Handler = Callable[[], object]


@dataclass(frozen=True)
class Race:
    """Concurrent ``handlers``, called A, B, ... in schedules.

    ``pauses`` are seconds that pass in one turn each. Up to ``deaths`` handlers may crash.
    """

    handlers: Sequence[Handler]
    pauses: Sequence[float] = ()
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """The move that a turn was given to, and the alternatives."""

    taken: str
    others: Sequence[str]


class Actor(threading.Thread):
    """A handler that runs turn by turn. ``result`` is what it returned, None after a crash."""

    def __init__(self, do: Handler) -> None:
        super().__init__(daemon=True)
        self._do = do
        self._process = Process()
        self._turn, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._doomed = False
        self._has_called = False
        self.result: object = None
        self.error: BaseException | None = None
        self.begun = False
        self.over = False

    def resume(self, *, doomed: bool = False) -> None:
        """Run until the handler waits for its next turn or ends. A doomed one crashes where it waits."""
        self._doomed = doomed
        with self._process.entered():
            if self.begun:
                self._turn.release()
            else:
                self.begun = True
                self.start()
            self._stopped.acquire()

    def wait(self) -> None:
        """Wait for the next turn. The first turn includes the first call."""
        if self._has_called:
            self._stopped.release()
            self._turn.acquire()
            if self._doomed:
                raise Crash("as the schedule says")
        self._has_called = True

    def run(self) -> None:
        """Run the handler in its own thread."""
        try:
            self.result = self._do()
        except Crash:
            self.result = None
        except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
            self.error = error
        self.over = True
        self._stopped.release()


def play(
    race: Race, wire: Wire, clock: Clock, choose: Choose, matters: Callable[[Call], bool]
) -> tuple[list[Turn], list[object]]:
    """Run a race with the chosen turns; return the turns and the handlers' results.

    A call that does not matter takes no turn.
    """
    actors = dict(zip(_LETTERS, map(Actor, race.handlers), strict=False))
    pauses = deque(race.pauses)
    deaths = race.deaths
    turns: list[Turn] = []
    with (
        patch.object(wire, "gate", lambda call: _wait() if matters(call) else None),
        patch("time.sleep", _sleep_of(clock)),
    ):
        try:
            while not all(actor.over for actor in actors.values()):
                moves = _moves(actors, turns[-1].taken if turns else "", time=bool(pauses), death=deaths > 0)
                taken = choose(moves)
                turns.append(Turn(taken, [move for move in moves if move != taken]))
                if taken == TIME:
                    clock.forward(pauses.popleft())
                    continue
                actor, doomed = actors[taken.upper()], taken.islower()
                deaths -= doomed
                actor.resume(doomed=doomed)
                if actor.error:
                    raise actor.error
        finally:
            for actor in actors.values():
                while actor.begun and not actor.over:
                    actor.resume(doomed=True)
    return turns, [actor.result for actor in actors.values()]


def every_order(play_with: Callable[[Choose], list[Turn]], most: int) -> bool:
    """Play the orders one by one, the simplest first; return whether these were all.

    Simple orders have few switches between handlers, and early ones. A crash counts twice.
    """
    plans = [(0, 0, "")]
    for _ in range(most):
        cost, _, plan = heapq.heappop(plans)
        turns = play_with(follow(plan))
        taken = "".join(turn.taken for turn in turns)
        for n in range(len(plan), len(turns)):
            for other in turns[n].others:
                heapq.heappush(plans, (cost + 1 + other.islower(), n, taken[:n] + other))
        if not plans:
            return True
    return False


def follow(plan: str) -> Choose:
    """Choose the planned turns, and then switch as late as possible."""
    letters = iter(plan)

    def choose(moves: Sequence[str]) -> str:
        wanted = next(letters, moves[0])
        assert wanted in moves, f"{wanted} has no turn here, only {', '.join(moves)}: the schedule {plan} does not fit"
        return wanted

    return choose


def at_random(random: Random) -> Choose:
    """Choose turns at random, and crashes rarely, so that most handlers finish."""
    return lambda moves: random.choices(moves, [1 if move.islower() else 5 for move in moves])[0]


def _moves(actors: dict[str, Actor], last: str, *, time: bool, death: bool) -> list[str]:
    """Return the possible moves, the last one first."""
    waiting = [letter for letter, actor in actors.items() if not actor.over]
    waiting.sort(key=lambda letter: letter != last)
    mortal = [letter.lower() for letter in waiting if death and actors[letter].begun]
    return [*waiting, *([TIME] if time else []), *mortal]


def _wait() -> None:
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.wait()


def _sleep_of(clock: Clock) -> Callable[[float], None]:
    """Return a sleep that gives other handlers a turn."""

    def sleep(seconds: float) -> None:
        end = time.time() + seconds
        if seconds > 0:
            _wait()
        clock.forward(end - time.time())

    return sleep
