"""Tells whoever watches how far a job is: `ProgressReporter` for asyncio.

`reelay.sync` has the same one for threads and Celery.
"""

from .aio import ProgressReporter
from .errors import ReportError

__all__ = ["ProgressReporter", "ReportError"]
__version__ = "0.1.0"
