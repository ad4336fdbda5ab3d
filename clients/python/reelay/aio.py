"""ProgressReporter for asyncio. It belongs to no event loop: each call may come from another."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Optional

from .base import Reporter
from .courier import Entry
from .message import JobId


class ProgressReporter(Reporter):
    """One serves any number of jobs, tasks and threads, and forked processes too."""

    async def initialize(self) -> None:
        """Opens it again after close(); before the first report it need not be called."""
        self._open()

    async def report(self, job_id: JobId, stage: str, progress: float, message: str,
                     metadata: Optional[dict[str, Any]] = None) -> None:
        """Waits for nobody; of what comes faster than `interval` only the latest is told."""
        self._progress(job_id, stage, progress, message, metadata)
        await asyncio.sleep(0)  # a loop that only reports must not keep all others from running

    async def report_error(self, job_id: JobId, error: object, stage: str = "error") -> None:
        """Returns when it was told, or after `timeout`."""
        await self._wait(self._failure(job_id, error, stage))

    async def report_complete(self, job_id: JobId, result: Any,
                              message: str = "Job completed") -> None:
        """Returns when it was told, or after `timeout`."""
        await self._wait(self._completion(job_id, result, message))

    async def get_status(self, job_id: JobId) -> Optional[dict[str, Any]]:
        """The job's last message, or None if it is not known. ReportError if nobody can tell."""
        status: Optional[dict[str, Any]] = await self._wait(self._question(job_id))
        return status

    async def close(self) -> None:
        """Sends what waits, for at most `timeout`."""
        ended = self._courier.close()
        if not await self._done(ended):
            self._courier.abandon()

    async def _wait(self, entry: Entry) -> Any:
        await self._done(entry.future)
        return self._outcome(entry)

    async def _done(self, future: Future[Any]) -> bool:
        """Whether it was within `timeout`. The future stays as it is when the caller is cancelled:
        an end is told all the same."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def called(_: Future[Any]) -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits there any more
                pass

        future.add_done_callback(called)
        await asyncio.wait([woken], timeout=self._timeout)
        return future.done()

    async def __aenter__(self) -> "ProgressReporter":
        await self.initialize()
        return self

    async def __aexit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()
