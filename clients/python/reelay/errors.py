"""What can go wrong on the way to whom it is told."""

from __future__ import annotations

from typing import Optional


class ReportError(Exception):
    """A report was refused, or nobody could be reached in time."""

    def __init__(self, message: str, *, job_id: Optional[str] = None, code: Optional[str] = None):
        super().__init__(message)
        self.job_id = job_id
        self.code = code  # the server's, where it refused: "already_finished"


class Unreachable(Exception):
    """Nobody took it; trying again may help."""

    def __init__(self, why: str, *, is_stale: bool = False, may_have_arrived: bool = False):
        super().__init__(why)
        self.is_stale = is_stale  # an old connection had ended: a new one may do at once
        self.may_have_arrived = may_have_arrived


class Refused(Exception):
    """It was read and not wanted; trying again cannot help."""

    def __init__(self, why: str, code: str):
        super().__init__(why)
        self.code = code
