"""A report, checked by the server's own rules, and the words it is told in.

Whatever is wrong with a report is said to the caller who made it, by name and
before anything is sent. The limits are those of the server's core/limits.h.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional, Union

JobId = Union[str, int, uuid.UUID]

ID_MAX = 128
TEXT_MAX = 4096
JSON_MAX = 16 * 1024
JSON_DEPTH_MAX = 32
INTEGER_MAX = 2**63 - 1

_ID = re.compile(r"(?!\.)[A-Za-z0-9\-_.:~@+=,!$]{1,%d}\Z" % ID_MAX)


class Report(NamedTuple):
    """What is said about a job, at one moment."""

    job_id: str
    status: str  # "processing", "completed", "failed"
    stage: str
    progress: Optional[float]  # None: where it failed, which the other side knows best
    message: str
    timestamp: str
    metadata: Optional[dict[str, Any]] = None
    result: Any = None
    error: Optional[str] = None

    @property
    def is_end(self) -> bool:
        return self.status != "processing"

    def door(self, progress: float) -> dict[str, Any]:
        """As the door /ws/jobs/{id} and the Redis channel have it."""
        said: dict[str, Any] = {
            "job_id": self.job_id,
            "status": self.status,
            "stage": self.stage,
            "progress": progress,
            "message": self.message,
            "timestamp": self.timestamp,
        }
        if self.status == "completed":
            said["result"] = self.result
        elif self.status == "failed":
            said["error"] = self.error
        elif self.metadata is not None:
            said["metadata"] = self.metadata
        return said

    def body(self) -> dict[str, Any]:
        """As POST /api/jobs/{id}/progress takes it."""
        if self.status == "completed":
            return {"status": "completed", "result": self.result, "message": self.message}
        if self.status == "failed":
            return {"status": "failed", "error": self.error, "stage": self.stage,
                    "message": self.message}
        said: dict[str, Any] = {
            "stage": self.stage, "progress": self.progress, "message": self.message}
        if self.metadata is not None:
            said["metadata"] = self.metadata
        return said


def progress_report(job_id: JobId, stage: str, progress: float, message: str,
                    metadata: Optional[dict[str, Any]]) -> Report:
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict, not {type(metadata).__name__}")
    return Report(check_id(job_id), "processing", _stage(stage), _fraction(progress),
                  _text(message), _now(),
                  metadata=None if metadata is None else _json("metadata", metadata))


def completion(job_id: JobId, result: Any, message: str) -> Report:
    return Report(check_id(job_id), "completed", "complete", 1.0, _text(message), _now(),
                  result=_json("result", result))


def failure(job_id: JobId, error: object, stage: str) -> Report:
    text = _text(error)
    if not text:  # str() of many exceptions is empty
        text = type(error).__name__ if isinstance(error, BaseException) else "Unknown error"
    return Report(check_id(job_id), "failed", _stage(stage), None, _text(f"Error: {text}"), _now(),
                  error=text)


def check_id(job_id: JobId) -> str:
    if isinstance(job_id, bool) or not isinstance(job_id, (str, int, uuid.UUID)):
        raise TypeError(f"job_id must be a string, not {type(job_id).__name__}")
    text = str(job_id)
    if not _ID.match(text):
        raise ValueError(f"job_id must be 1 to {ID_MAX} letters, digits and -_.:~@+=,!$, "
                         f"not beginning with a dot: {text[:ID_MAX + 1]!r}")
    return text


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fraction(progress: float) -> float:
    if isinstance(progress, (str, bytes)):
        raise TypeError(f"progress must be a number, not {progress!r}")
    value = float(progress)
    if math.isnan(value):
        raise ValueError("progress must be a number from 0 to 1, not NaN")
    return min(max(value, 0.0), 1.0)


def _stage(stage: str) -> str:
    if not isinstance(stage, str):
        raise TypeError(f"stage must be a string, not {type(stage).__name__}")
    return _text(stage)


def _text(value: object) -> str:
    """For people to read: mended and cut rather than refused, as a job's end must not be lost
    for the length of its traceback."""
    raw = str(value).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(raw) > TEXT_MAX:
        return raw[:TEXT_MAX - 3].decode("utf-8", "ignore") + "…"
    return raw.decode("utf-8")


def _json(name: str, value: Any) -> Any:
    """A copy of the value as it will be read at the other end."""
    excess = 0

    def real(text: str) -> float:
        nonlocal excess
        number = float(text)
        excess += max(0, _length_at_server(number) - len(text))
        return number

    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode("utf-8"))
        copy = json.loads(text, parse_float=real, parse_int=_integer, object_pairs_hook=_unique)
    except TypeError as error:
        raise TypeError(f"{name} is not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if size + excess > JSON_MAX:
        raise ValueError(f"{name} has {size + excess} bytes of JSON; the limit is {JSON_MAX}")
    _walk(name, copy, JSON_DEPTH_MAX)
    return copy


def _length_at_server(number: float) -> int:
    """The server counts with 17 digits: 0.10000000000000001."""
    mantissa, e, exponent = f"{number:.17g}".partition("e")
    if e:
        return len(mantissa) + 1 + len(str(int(exponent)))
    return len(mantissa) + (0 if "." in mantissa else 2)


def _integer(text: str) -> int:
    number = int(text)
    if not -INTEGER_MAX - 1 <= number <= INTEGER_MAX:
        raise ValueError(f"{text} does not fit into 64 bits")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _walk(name: str, value: Any, levels: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(f"{name} is not JSON that can be told: a text has a NUL in it")
    elif isinstance(value, (dict, list)):
        if levels == 0:
            raise ValueError(f"{name} is nested too deep; the limit is {JSON_DEPTH_MAX}")
        if isinstance(value, dict):
            for key in value:
                _walk(name, key, levels - 1)
        for child in value.values() if isinstance(value, dict) else value:
            _walk(name, child, levels - 1)
