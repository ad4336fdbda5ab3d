"""ProgressReporter for threads, Celery tasks and scripts: no await, otherwise the same."""

from __future__ import annotations

from concurrent.futures import wait
from types import TracebackType
from typing import Any, Optional

from .base import Reporter
from .courier import Entry
from .errors import ReportError
from .message import JobId

__all__ = ["ProgressReporter", "ReportError"]


class ProgressReporter(Reporter):
    """One serves any number of jobs and threads, and forked processes too."""

    def initialize(self) -> None:
        """Opens it again after close(); before the first report it need not be called."""
        self._open()

    def report(self, job_id: JobId, stage: str, progress: float, message: str,
               metadata: Optional[dict[str, Any]] = None) -> None:
        """Returns at once; of what comes faster than `interval` only the latest is told."""
        self._progress(job_id, stage, progress, message, metadata)

    def report_error(self, job_id: JobId, error: object, stage: str = "error") -> None:
        """Returns when it was told, or after `timeout`."""
        self._wait(self._failure(job_id, error, stage))

    def report_complete(self, job_id: JobId, result: Any, message: str = "Job completed") -> None:
        """Returns when it was told, or after `timeout`."""
        self._wait(self._completion(job_id, result, message))

    def get_status(self, job_id: JobId) -> Optional[dict[str, Any]]:
        """The job's last message, or None if it is not known. ReportError if nobody can tell."""
        status: Optional[dict[str, Any]] = self._wait(self._question(job_id))
        return status

    def close(self) -> None:
        """Sends what waits, for at most `timeout`."""
        ended = self._courier.close()
        if not wait([ended], self._timeout).done:
            self._courier.abandon()

    def _wait(self, entry: Entry) -> Any:
        wait([entry.future], self._timeout)
        return self._outcome(entry)

    def __enter__(self) -> "ProgressReporter":
        self.initialize()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()
