"""A caller's session on this worker, from its first call to its end.

          its first call                     SessionEnd, a drain, its host is gone
    (none) ───────────▶ known ─ on_session_start ─▶ begun ─▶ ending ─ its calls are over ─ on_session_end ─▶ over
                          ▲            │ raises: that call, and those that wait for it, fail
                          └────────────┘

A call that comes after the end has begun belongs to another visit of the same id, which waits until this one is over.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from snakepit import _ndarray
from snakepit._spans import Decided, Span

if TYPE_CHECKING:
    from snakepit._job import Job, Speaker
    from snakepit._loop import Loop

START, END = "on_session_start", "on_session_end"
SESSION_START = "python.session_start"
"""The span of what runs at a session's beginning."""

Told = Callable[[str, bool], None]
"""Hears what a hook raised, or nothing, and whether it goes on beyond its limit."""


class Session:
    """What `on_session_start` and `on_session_end` get: a caller's session on this worker."""

    __slots__ = ("_visit",)

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    @property
    def id(self) -> str:
        """As the caller named it."""
        return self._visit.id

    @property
    def data(self) -> Any:
        """What it was opened with in the host; None when it was not, or with nothing. Decoded each time."""
        data = self._visit.data
        return msgspec.msgpack.decode(data, ext_hook=_ndarray.read) if data else None

    @property
    def state(self) -> dict[str, Any]:
        """What its calls on this worker share, as `snakepit.current().state`."""
        return self._visit.state

    def __repr__(self) -> str:
        return f"<session {self.id!r}>"


Session.__module__ = "snakepit"


class SessionHook:
    """A function of a module that is called when a session begins, or ends; called from Python it is the function."""

    def __init__(self, function: Callable[[Session], Any], when: str) -> None:
        if not callable(function):
            raise TypeError(f"@{when} decorates a function of one parameter, the session, not {function!r}")
        self.function = function
        self.when = when

    def __call__(self, session: Session) -> Any:
        return self.function(session)

    def __repr__(self) -> str:
        return f"<{self.when} {_name(self.function)}>"


def on_session_start(function: Callable[[Session], Any], /) -> SessionHook:
    """Has the function called with the session before its first call on a worker; it may be async.

    It counts in that call's time. What it raises fails the call, and the session has not begun. Raises TypeError for
    what is no function.

    >>> @on_session_start
    ... def load(session: Session) -> None:
    ...     session.state["model"] = f"the model of {session.data}"
    """
    return SessionHook(function, START)


def on_session_end(function: Callable[[Session], Any], /) -> SessionHook:
    """Has the function called when a session ends on a worker, after its last call there; it may be async.

    A worker that is killed calls nothing. What it raises is printed, and told to the host. Raises TypeError for what
    is no function.
    """
    return SessionHook(function, END)


class Visit:
    """One session on this worker; all but `state` is guarded by the executor's lock."""

    __slots__ = (
        *("attempt", "before", "begun", "brief", "calls", "data", "ending", "id", "limit", "outbox", "over", "state"),
        *("taken", "told", "waiting"),
    )

    def __init__(self, id: str, outbox: Speaker, before: Visit | None) -> None:
        self.id = id
        self.outbox = outbox
        self.before = before
        """The one of the same id that is ending."""
        self.data = b""
        self.state: dict[str, Any] = {}
        self.brief = False
        """It lasts as long as its calls: nobody says its end."""
        self.calls = 0
        self.attempt: Attempt | None = None
        self.begun = False
        self.ending = False
        self.taken = False
        """Somebody runs its end."""
        self.over = False
        self.told: Told | None = None
        self.limit = 0.0
        self.waiting: set[Job] = set()
        """Calls to be woken when something of it has changed."""


class Attempt:
    """One run of the hooks at its beginning, by one call; others may wait for it."""

    over = False
    raised: BaseException | None = None

    def __init__(self, job: Job) -> None:
        self.job = job

    def is_over(self) -> bool:
        return self.over


class Visits:
    """The visits of a worker by their session's id; under the executor's lock."""

    def __init__(self) -> None:
        self._latest: dict[str, Visit] = {}

    def join(self, job: Job) -> Visit:
        """The visit that a call belongs to, which it is counted in."""
        visit = self._latest.get(job.session)
        if visit is None or visit.ending:
            visit = self._begin(job.session, job.outbox)
            visit.brief = job.alone
        elif visit.brief and not job.alone:
            visit.brief = False
            visit.outbox = job.outbox
        visit.calls += 1
        return visit

    def announce(self, outbox: Speaker, id: str, data: bytes) -> None:
        """A session begins with data."""
        visit = self._latest.get(id)
        if visit is None or visit.ending or visit.brief:
            visit = self._begin(id, outbox)
        visit.data = data

    def get(self, id: str) -> Visit | None:
        """The one that is not ending."""
        visit = self._latest.get(id)
        return None if visit is None or visit.ending else visit

    def all(self, outbox: Speaker | None = None) -> list[Visit]:
        """Those that are not over, those of one host alone or all; each after the one before it."""
        found: list[Visit] = []
        for visit in self._latest.values():
            chain = [visit]
            while chain[-1].before is not None:
                chain.append(chain[-1].before)
            found += [one for one in reversed(chain) if not one.over and outbox in (None, one.outbox)]
        return found

    def forget(self, visit: Visit) -> None:
        """It is over."""
        visit.over = True
        if self._latest.get(visit.id) is visit:
            del self._latest[visit.id]
            if visit.before is not None and not visit.before.over:
                self._latest[visit.id] = visit.before

    def _begin(self, id: str, outbox: Speaker) -> Visit:
        visit = self._latest[id] = Visit(id, outbox, self._latest.get(id))
        return visit


Unit = tuple[Callable[[Session], Any] | None, Callable[[Session], Any] | None]
"""What is called at the beginning and at the end, either of which may be missing."""


class Hooks:
    """What the adapter does when sessions begin and end, in the order in which it stands in the module."""

    def __init__(self, units: Sequence[Unit], loop: Loop) -> None:
        self._units = [unit for unit in units if unit != (None, None)]
        self._loop = loop

    def __bool__(self) -> bool:
        return bool(self._units)

    def start(self, session: Session) -> None:
        """Raises what one raises, when those before it are ended again; in a span of the call that begins it."""
        if self._units:
            with Decided(), Span(SESSION_START, {}):
                self._start(session)

    def _start(self, session: Session) -> None:
        for number, (start, _) in enumerate(self._units):
            try:
                self._call(start, session)
            except BaseException as raised:
                raised.add_note(f"raised by {START} {_name(start)} of session {session.id!r}, which has not begun")
                self._end(session, self._units[:number])
                raise

    def end(self, session: Session) -> str:
        """Ends the last first; what they raise is printed, and the first of it returned."""
        return self._end(session, self._units)

    def _end(self, session: Session, units: Sequence[Unit]) -> str:
        failure = ""
        for _, end in reversed(units):
            try:
                self._call(end, session)
            except BaseException as raised:
                print(f"snakepit: {END} {_name(end)} of session {session.id!r} raised:", file=sys.stderr)
                traceback.print_exception(raised)
                failure = failure or f"{END} {_name(end)} raised {type(raised).__name__}: {raised}"
        return failure

    def _call(self, hook: Callable[[Session], Any] | None, session: Session) -> None:
        if hook is not None:
            result = hook(session)
            if hasattr(result, "__await__"):
                self._loop.complete(_awaited(result))


async def _awaited(result: Any) -> None:
    await result


def _name(hook: Callable[..., Any] | None) -> str:
    return getattr(hook, "__qualname__", repr(hook))
