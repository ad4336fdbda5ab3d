"""Carries reports to a target on a thread of its own, so that no caller ever waits for one.

        submit ──► lane of the job ──► heap of lanes by when they are due ──► thread ──► target

- Of one job and stage only the first report and the latest are kept. The first is due at once, the
  latest `interval` after what was sent before it; an end (or a question) at once and before all
  other jobs. A lane's entries go in order.
- While nobody can be reached, lanes keep their latest, ends are kept until the reporter closes,
  and one try at a time is made, further and further apart.
- The lock is never held while the target is used.
- A fork's child begins with empty lanes and without a thread: what was waiting is the parent's.
- The thread begins with the first report and ends when it has had nothing to do for a while, so
  a reporter that nobody closes leaves nothing behind.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import os
import random
import threading
import time
import weakref
from collections import OrderedDict, deque
from concurrent.futures import Future
from typing import Any, Callable, Optional

from .errors import Refused, ReportError, Unreachable
from .message import Report
from .target import Target

NEWS_GAP = 0.02  # seconds between sends for a job whose stage changes on and on
IDLE_MAX = 20.0  # seconds the thread waits for work before it ends
BACKOFF_FIRST, BACKOFF_MAX = 0.05, 1.0
STAGES_MAX = 16  # of one job, remembered and waiting
LANES_MAX = 4096
ENDS_MAX = 1000
COMPLAINTS_MAX = 1000

log = logging.getLogger("reelay")
NEVER = float("inf")
NOBODY: Future[Any] = Future()  # waits for a report that is not awaited


class Entry:
    """A report, or a question about a job (no report), on its way."""

    __slots__ = ("job_id", "report", "future", "deadline", "is_strict", "is_withdrawn",
                 "is_news", "may_have_arrived")

    def __init__(self, job_id: str, report: Optional[Report], deadline: float, is_strict: bool):
        self.job_id = job_id
        self.report = report
        self.future: Future[Any] = Future() if self.is_awaited else NOBODY
        self.deadline = deadline
        self.is_strict = is_strict
        self.is_withdrawn = False
        self.is_news = False  # the first of its stage: none takes its place
        self.may_have_arrived = False

    @property
    def is_awaited(self) -> bool:
        return self.report is None or self.report.is_end

    def resolve(self, value: Any = None, error: Optional[ReportError] = None) -> None:
        if self.is_awaited and not self.future.done():
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(value)


class Lane:
    """What of one job waits to be sent."""

    __slots__ = ("job_id", "entries", "stages", "sent_at", "due")

    def __init__(self, job_id: str):
        self.job_id = job_id
        self.entries: deque[Entry] = deque()
        self.stages: deque[str] = deque(maxlen=STAGES_MAX)  # the last that were begun
        self.sent_at = -NEVER
        self.due = NEVER

    @property
    def has_awaited(self) -> bool:
        return any(entry.is_awaited for entry in self.entries)

    def supersede(self, stage: str) -> bool:
        """Takes an older report on that stage out, if nothing awaited is behind it."""
        for i in range(len(self.entries) - 1, -1, -1):
            report = self.entries[i].report
            if report is None or report.is_end:
                return False
            if report.stage == stage and not self.entries[i].is_news:
                del self.entries[i]
                return True
        return False

    def shorten(self) -> None:
        progress = [entry for entry in self.entries if not entry.is_awaited]
        if len(progress) > STAGES_MAX:
            self.entries.remove(progress[0])


class Courier:
    """Used by any number of threads; closed once."""

    def __init__(self, make_target: Callable[[], Target], timeout: float, interval: float):
        self._make_target = make_target
        self._timeout = timeout
        self._interval = interval
        self.is_closing = False
        self._why = ""
        self._begin()
        _couriers.add(self)

    def after_fork(self) -> None:
        """In the child: its copy of the connection is of no use."""
        target = self._target
        self._begin()
        if self.is_closing:  # what it still had to do is its parent's
            self._end()
        if target is not None:
            target.close()

    def _begin(self) -> None:
        self._cond = threading.Condition()  # re-entrant: a signal handler may report too
        self._thread: Optional[threading.Thread] = None
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._heap: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._ends: OrderedDict[Entry, None] = OrderedDict()
        self._complaints: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._in_flight: Optional[Entry] = None
        self._target: Optional[Target] = None  # the thread's
        self._failures = 0
        self._retry_at = 0.0
        self._wakes_at = -NEVER
        self._is_abandoned = False
        self._ended: Future[None] = Future()

    # For callers

    def submit(self, report: Report, is_strict: bool = False) -> Entry:
        entry = Entry(report.job_id, report, time.monotonic() + self._timeout, is_strict)
        with self._cond:
            lane = self._lane_of(entry)
            if report.is_end:
                self._add_end(entry)
                lane.entries.append(entry)
                self._hurry(lane)
            else:
                self._add_progress(lane, entry)
        return entry

    def ask(self, job_id: str) -> Entry:
        entry = Entry(job_id, None, time.monotonic() + self._timeout, True)
        with self._cond:
            lane = self._lane_of(entry)
            lane.entries.append(entry)
            self._hurry(lane)
        return entry

    def withdraw(self, entry: Entry) -> str:
        """Nobody waits for it any more; gives why it did not get through."""
        with self._cond:
            entry.is_withdrawn = True
            self._ends.pop(entry, None)
            lane = self._lanes.get(entry.job_id)
            if lane is not None and entry in lane.entries:
                lane.entries.remove(entry)
            return self._why if self._failures else f"no answer within {self._timeout:g} s"

    def close(self) -> Future[None]:
        """No more is taken; what waits is sent. The result is there when that is over."""
        with self._cond:
            if not self.is_closing:
                self.is_closing = True
                self._retry_at = 0.0
                for lane in self._lanes.values():
                    if lane.entries:
                        self._schedule(lane, 0.0)
                self._cond.notify()
                if self._thread is None:
                    self._end()
            return self._ended

    def abandon(self) -> None:
        """After close(): nobody waits any longer."""
        with self._cond:
            self._is_abandoned = True
            self._lose_what_waits(lambda entry: True)
            if self._in_flight is not None:
                self._lose(self._in_flight)

    # Under the lock

    def _lane_of(self, entry: Entry) -> Lane:
        if self.is_closing:
            raise RuntimeError("the reporter is closed; initialize() opens it again")
        lane = self._lanes.get(entry.job_id)
        if lane is None:
            while len(self._lanes) >= LANES_MAX and self._forget_a_lane():
                pass
            lane = self._lanes[entry.job_id] = Lane(entry.job_id)
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="reelay", daemon=True)
            thread.start()
            self._thread = thread
        return lane

    def _forget_a_lane(self) -> bool:
        idle = (lane for lane in self._lanes.values() if not lane.entries)
        droppable = (lane for lane in self._lanes.values() if not lane.has_awaited)
        lane = next(idle, None) or next(droppable, None)
        if lane is None:  # somebody waits for each
            return False
        lane.entries.clear()
        del self._lanes[lane.job_id]
        return True

    def _add_progress(self, lane: Lane, entry: Entry) -> None:
        assert entry.report is not None
        stage = entry.report.stage
        entry.is_news = stage not in lane.stages
        if entry.is_news:
            lane.stages.append(stage)
        lane.supersede(stage)
        lane.entries.append(entry)
        lane.shorten()
        pause = NEWS_GAP if entry.is_news else self._interval
        self._schedule(lane, max(time.monotonic(), lane.sent_at + pause))

    def _add_end(self, entry: Entry) -> None:
        self._ends[entry] = None
        if len(self._ends) > ENDS_MAX:
            oldest = next(iter(self._ends))
            self._lose(oldest)
            self.withdraw(oldest)

    def _hurry(self, lane: Lane) -> None:
        self._retry_at = 0.0
        self._schedule(lane, 0.0)
        self._cond.notify()

    def _schedule(self, lane: Lane, due: float) -> None:
        if due >= lane.due:
            return
        lane.due = due
        heapq.heappush(self._heap, (due, next(self._order), lane))
        if max(due, self._retry_at) < self._wakes_at:
            self._cond.notify()

    def _reschedule(self, lane: Lane) -> None:
        if lane.has_awaited or self.is_closing and lane.entries:
            self._schedule(lane, 0.0)
        elif lane.entries:
            has_news = any(entry.is_news for entry in lane.entries)
            self._schedule(lane, lane.sent_at + (0.0 if has_news else self._interval))

    def _complain(self, key: tuple[str, str], text: str, *args: object) -> None:
        """Once."""
        if key not in self._complaints:
            self._complaints[key] = None
            if len(self._complaints) > COMPLAINTS_MAX:
                self._complaints.popitem(last=False)
            log.error(text, *args)

    def _lose(self, entry: Entry) -> None:
        self._ends.pop(entry, None)
        if entry.report is not None and entry.report.is_end and not entry.is_withdrawn:
            entry.is_withdrawn = True
            if not entry.is_strict:
                log.error("job %s: it could not be told that it %s: %s", entry.job_id,
                          entry.report.status, self._why if self._failures else "no answer")
        entry.resolve(error=ReportError("the reporter was closed", job_id=entry.job_id))

    def _lose_what_waits(self, is_lost: Callable[[Entry], bool]) -> None:
        for lane in self._lanes.values():
            for entry in [entry for entry in lane.entries if is_lost(entry)]:
                lane.entries.remove(entry)
                self._lose(entry)

    # The thread

    def _run(self) -> None:
        target: Optional[Target] = None
        while True:
            with self._cond:
                self._target = target
                entry = self._next()
                if entry is None:
                    self._thread = None
                    self._target = None
                    is_last = self.is_closing
                    break
            answer: Any = None
            trouble: Optional[Exception] = None
            try:
                target = target or self._make_target()
                if entry.report is None:
                    answer = target.ask(entry.job_id)
                else:
                    target.tell(entry.report)
            except Exception as error:  # whatever it is, the thread goes on
                trouble = error
            with self._cond:
                self._settle(entry, answer, trouble)
            del entry, answer, trouble
        if target is not None:
            target.close()
        if is_last:
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _next(self) -> Optional[Entry]:
        """Waits until an entry is due; None when the thread is to end."""
        while True:
            lane = self._first_lane()
            now = time.monotonic()
            if lane is None:
                if self.is_closing:
                    return None
                self._wakes_at = NEVER
                is_called = self._cond.wait(IDLE_MAX)
                self._wakes_at = -NEVER
                if not is_called and self._first_lane() is None:
                    return None
                continue
            at = max(lane.due, self._retry_at)
            if at <= now:
                break
            self._wakes_at = at
            self._cond.wait(at - now)
            self._wakes_at = -NEVER
        heapq.heappop(self._heap)
        lane.due = NEVER
        lane.sent_at = now
        self._in_flight = lane.entries.popleft()
        self._reschedule(lane)  # what was due with it
        return self._in_flight

    def _first_lane(self) -> Optional[Lane]:
        while self._heap:
            due, _, lane = self._heap[0]
            if lane.entries and due == lane.due and self._lanes.get(lane.job_id) is lane:
                return lane
            if due == lane.due:
                lane.due = NEVER
            heapq.heappop(self._heap)
        return None

    def _settle(self, entry: Entry, answer: Any, trouble: Optional[Exception]) -> None:
        self._in_flight = None
        lane = self._lanes.get(entry.job_id)
        if lane is None:  # forgotten meanwhile
            lane = Lane(entry.job_id)
            if entry.is_awaited:
                self._lanes[entry.job_id] = lane
        if isinstance(trouble, Unreachable):
            self._put_back(lane, entry, trouble)
        else:
            if self._failures:
                log.info("reports get through again")
            self._failures = 0
            self._retry_at = 0.0
            self._ends.pop(entry, None)
            if trouble is None or self._had_arrived(entry, trouble):
                entry.resolve(answer)
            else:
                self._refused(entry, trouble)
        if entry.report is not None and entry.report.is_end and not lane.entries:
            self._lanes.pop(entry.job_id, None)

    @staticmethod
    def _had_arrived(entry: Entry, trouble: Exception) -> bool:
        """The answer to an earlier try was lost on the way, and this is why it is refused now."""
        return (entry.may_have_arrived and isinstance(trouble, Refused)
                and trouble.code == "already_finished")

    def _refused(self, entry: Entry, trouble: Exception) -> None:
        code = trouble.code if isinstance(trouble, Refused) else None
        why = str(trouble) if code else repr(trouble)
        if not (entry.is_strict or entry.is_withdrawn):
            self._complain((entry.job_id, f"{code} {entry.is_awaited}"),
                           "job %s: a report was refused: %s", entry.job_id, why)
        entry.resolve(error=ReportError(f"job {entry.job_id}: {why}", job_id=entry.job_id,
                                        code=code))

    def _put_back(self, lane: Lane, entry: Entry, trouble: Unreachable) -> None:
        """Nobody took it. Progress gives way to an end, and to newer progress."""
        self._why = str(trouble)
        entry.may_have_arrived |= trouble.may_have_arrived
        if not trouble.is_stale:
            self._back_off()
        if self._is_abandoned or entry.is_withdrawn:
            return
        if entry.is_awaited:
            lane.entries.appendleft(entry)
        elif trouble.is_stale or not lane.has_awaited:
            self._put_back_progress(lane, entry, trouble.is_stale)
        if self.is_closing and not trouble.is_stale:
            now = time.monotonic()
            self._lose_what_waits(lambda one: not one.is_awaited or one.deadline <= now)
        self._reschedule(lane)

    @staticmethod
    def _put_back_progress(lane: Lane, entry: Entry, is_stale: bool) -> None:
        assert entry.report is not None
        stages = [one.report.stage for one in lane.entries if one.report is not None]
        if entry.report.stage not in stages or is_stale:
            lane.entries.appendleft(entry)
            lane.shorten()

    def _back_off(self) -> None:
        if self._failures == 0:
            log.warning("reports do not get through, trying on: %s", self._why)
        pause = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._failures, 10))
        self._failures += 1
        self._retry_at = time.monotonic() + pause * random.uniform(0.5, 1.0)


_couriers: weakref.WeakSet[Courier] = weakref.WeakSet()


def _after_fork() -> None:
    for courier in list(_couriers):
        courier.after_fork()


def _at_exit() -> None:
    """What waits is sent; together they have as long as the slowest may take."""
    pending = [(courier, courier.close()) for courier in list(_couriers)]
    until = time.monotonic() + max([courier._timeout for courier, _ in pending], default=0.0)
    for courier, ended in pending:
        try:
            ended.result(max(0.0, until - time.monotonic()))
        except Exception:  # TimeoutError has two names before Python 3.11
            courier.abandon()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
