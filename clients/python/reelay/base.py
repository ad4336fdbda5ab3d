"""What the reporters for asyncio and for threads have in common: everything but the waiting."""

from __future__ import annotations

from typing import Any, Optional

from .courier import Courier, Entry
from .errors import ReportError
from .message import JobId, check_id, completion, failure, progress_report
from .target import choose

TIMEOUT, INTERVAL, TTL = 2.0, 0.15, 3600


class Reporter:
    def __init__(self, url: Optional[str] = None, *, token: Optional[str] = None,
                 timeout: float = TIMEOUT, interval: float = INTERVAL, strict: bool = False,
                 ttl: int = TTL):
        """`url`: of a Reelay server (http, https) or of Redis; without it REELAY_URL, then
        REDIS_URL, then http://127.0.0.1:3001. `token`: for the server; without it REELAY_TOKEN.
        `timeout`: seconds that a call may take at most. `interval`: seconds between two reports
        of a job on the same stage. `strict`: an end that was not told raises ReportError, instead
        of being logged. `ttl`: seconds that Redis keeps a job's status."""
        if not timeout > 0 or not interval >= 0 or int(ttl) < 1:
            raise ValueError("timeout and ttl must be above 0, interval not below")
        self._make_target = choose(url, token, timeout, int(ttl))
        self._timeout = timeout
        self._interval = interval
        self._is_strict = strict
        self._courier = self._new_courier()

    def _new_courier(self) -> Courier:
        return Courier(self._make_target, self._timeout, self._interval)

    def _open(self) -> None:
        if self._courier.is_closing:
            self._courier = self._new_courier()

    def _progress(self, job_id: JobId, stage: str, progress: float, message: str,
                  metadata: Optional[dict[str, Any]]) -> None:
        self._courier.submit(progress_report(job_id, stage, progress, message, metadata))

    def _completion(self, job_id: JobId, result: Any, message: str) -> Entry:
        return self._courier.submit(completion(job_id, result, message), self._is_strict)

    def _failure(self, job_id: JobId, error: object, stage: str) -> Entry:
        return self._courier.submit(failure(job_id, error, stage), self._is_strict)

    def _question(self, job_id: JobId) -> Entry:
        return self._courier.ask(check_id(job_id))

    def _outcome(self, entry: Entry) -> Any:
        """After waiting. What is not strict was logged, or goes on being tried."""
        if entry.future.done() and not entry.future.cancelled():
            error = entry.future.exception()
            if error is not None and entry.is_strict:
                raise error
            return entry.future.result() if error is None else None
        if entry.is_strict:
            why = self._courier.withdraw(entry)
            raise ReportError(f"job {entry.job_id}: {why}", job_id=entry.job_id)
        return None
