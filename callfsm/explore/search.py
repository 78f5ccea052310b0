"""Try every choice, breadth-first, never the same system twice: the first breach is the shortest.

What is kept of a system is a digest and, until its turn comes, its frozen form.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TypeAlias

from callfsm.explore.choices import ANYTHING, Bounds, Choice, Move
from callfsm.explore.freezing import frozen, thawed
from callfsm.explore.system import MACHINES, Machines, System, begin, end, happen

DIGEST_BYTES = 16
BOUNDS = Bounds()

Path: TypeAlias = tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Breach:
    """A shortest way to something that must not happen."""

    path: Path
    problem: str
    looks: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `complete` says that nothing within the bounds is left untried."""

    breach: Breach | None
    systems: int
    depth: int
    complete: bool


def follow(machines: Machines, path: Path, *, looks: bool = False) -> System | None:
    """The system after these moves and nothing more, or where something went wrong on the way.

    None when one of them cannot happen.
    """
    system = begin(machines, replace(ANYTHING, looks=looks))
    for move in path:
        if system.problems:
            break
        if move.choice not in set(system.choices()):
            return None
        happen(system, machines, move)
    end(system, machines)
    return system


def search(
    machines: Machines = MACHINES,
    bounds: Bounds = BOUNDS,
    *,
    depth: int | None = None,
    systems: int | None = None,
) -> Found:
    """Look for a breach, at most `depth` moves deep and through at most so many `systems`."""
    start = begin(machines, bounds)
    if start.problems:
        return Found(Breach((), start.problems[0]), 1, 0, complete=False)
    first = frozen(start)
    seen = {_digest(first)}
    came_by: list[tuple[int, Move | None]] = [(0, None)]
    waiting = deque([(0, 0, zlib.compress(first, 1))])
    deepest, complete = 0, True
    while waiting:
        number, deep, packed = waiting.popleft()
        if deep == depth or (systems is not None and len(seen) >= systems):
            complete = False
            break
        data = zlib.decompress(packed)
        for move in _moves(thawed(data), bounds):
            system = thawed(data)
            happen(system, machines, move)
            if system.problems:
                path = (*_path(came_by, number), move)
                breach = Breach(path, system.problems[0], bounds.looks)
                return Found(_without_bystanders(breach, machines), len(seen), deep + 1, False)
            after = frozen(system)
            if (digest := _digest(after)) not in seen:
                seen.add(digest)
                came_by.append((number, move))
                waiting.append((len(came_by) - 1, deep + 1, zlib.compress(after, 1)))
                deepest = deep + 1
    return Found(None, len(seen), deepest, complete)


def _moves(system: System, bounds: Bounds) -> Iterator[Move]:
    racing = not system.ready and system.races < bounds.races
    for choice in system.choices():
        yield Move(choice)
        if racing and choice is not Choice.HANG and choice is not Choice.FORGET:
            yield Move(choice, seen=False)


def _without_bystanders(breach: Breach, machines: Machines) -> Breach:
    """The same breach without the moves that it does not need."""
    path = breach.path
    for at in reversed(range(len(path))):
        shorter = (*path[:at], *path[at + 1 :])
        system = follow(machines, shorter, looks=breach.looks)
        if system is not None and system.problems == [breach.problem]:
            path = shorter
    return replace(breach, path=path)


def _path(came_by: list[tuple[int, Move | None]], number: int) -> Path:
    moves: list[Move] = []
    while (move := came_by[number][1]) is not None:
        moves.append(move)
        number = came_by[number][0]
    return tuple(reversed(moves))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
