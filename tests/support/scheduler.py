"""Handlers side by side, one call at a time, in an order that is chosen and can be chosen again.

Each handler runs in a thread and a process of its own, but only one of them ever runs: it stops before each call on
the wire, and wherever it sleeps, until it gets its turn. So moto, which is not thread-safe, sees one call at a time.

A schedule is one letter a turn: ``A`` goes on up to its next call, ``a`` dies instead, ``T`` lets time pass.
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
    """What goes on at once: ``handlers``, called A, B, ... in schedules.

    ``pauses`` are seconds that pass in one turn each; so many of the handlers as ``deaths`` says may die on the way.
    """

    handlers: Sequence[Handler]
    pauses: Sequence[float] = ()
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn was given to, and to what else it could have been given."""

    taken: str
    others: Sequence[str]


class Actor(threading.Thread):
    """A handler that goes on only when it is told to. ``result`` is what it returned; None if it died."""

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

    def go_on(self, *, doomed: bool = False) -> None:
        """Let it run until it waits for its next turn or is over; a doomed one dies where it waits."""
        self._doomed = doomed
        with self._process.entered():
            if self.begun:
                self._turn.release()
            else:
                self.begun = True
                self.start()
            self._stopped.acquire()

    def wait(self) -> None:
        """Wait for the next turn. The first one leads up to the first call and through it."""
        if self._has_called:
            self._stopped.release()
            self._turn.acquire()
            if self._doomed:
                raise Crash("as the schedule says")
        self._has_called = True

    def run(self) -> None:
        """Do it, in its own thread."""
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
    """Run a race, with each turn given as chosen; returns the turns and the handlers' results.

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
                actor.go_on(doomed=doomed)
                if actor.error:
                    raise actor.error
        finally:
            for actor in actors.values():
                while actor.begun and not actor.over:
                    actor.go_on(doomed=True)
    return turns, [actor.result for actor in actors.values()]


def every_order(play_with: Callable[[Choose], list[Turn]], most: int) -> bool:
    """Play the orders one by one, the simplest first; returns whether these were all.

    Simple is what has few changes of the turn, and those early; a death counts twice.
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
    """Give the turns as planned, and then without a change as long as possible."""
    letters = iter(plan)

    def choose(moves: Sequence[str]) -> str:
        wanted = next(letters, moves[0])
        assert wanted in moves, f"{wanted} has no turn here, only {', '.join(moves)}: the schedule {plan} does not fit"
        return wanted

    return choose


def at_random(random: Random) -> Choose:
    """Give each turn to any; seldom to death, or there would be little to see."""
    return lambda moves: random.choices(moves, [1 if move.islower() else 5 for move in moves])[0]


def _moves(actors: dict[str, Actor], last: str, *, time: bool, death: bool) -> list[str]:
    """What may have the next turn; first what had the last."""
    waiting = [letter for letter, actor in actors.items() if not actor.over]
    waiting.sort(key=lambda letter: letter != last)
    mortal = [letter.lower() for letter in waiting if death and actors[letter].begun]
    return [*waiting, *([TIME] if time else []), *mortal]


def _wait() -> None:
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.wait()


def _sleep_of(clock: Clock) -> Callable[[float], None]:
    """A sleep that lets others have their turn meanwhile."""

    def sleep(seconds: float) -> None:
        end = time.time() + seconds
        if seconds > 0:
            _wait()
        clock.forward(end - time.time())

    return sleep
