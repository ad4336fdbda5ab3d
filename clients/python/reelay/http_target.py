"""A Reelay server: POST /api/jobs/{id}/progress over one connection that is kept."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, Optional, Union
from urllib.parse import SplitResult, quote, urlsplit

from .errors import Refused, Unreachable
from .message import Report

ANSWER_MAX = 1 << 20
IDLE_MAX = 60.0  # seconds; the server ends what idles for 75
AGAIN = (408, 429, 500, 502, 503, 504, 507)  # of the passing kind


def check_url(url: str) -> SplitResult:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("url must be like https://video.example.com, or with a path below it")
    parts.port  # raises ValueError where it is none
    return parts


def check_token(token: Optional[str]) -> Optional[str]:
    token = token.strip() if token else None
    if token and not all("!" <= c <= "~" for c in token):
        raise ValueError("token has characters in it that no token has")
    return token or None


class HttpTarget:
    def __init__(self, base: SplitResult, token: Optional[str], timeout: float):
        self._base = base
        self._prefix = base.path.rstrip("/")
        self._timeout = timeout
        self._headers = {"Accept": "application/json", "User-Agent": "reelay-python"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: Optional[http.client.HTTPConnection] = None
        self._used_at = 0.0

    def tell(self, report: Report) -> None:
        body = json.dumps(report.body(), ensure_ascii=False, separators=(",", ":"))
        path = f"/api/jobs/{quote(report.job_id, safe='')}/progress"
        status, answer = self._exchange("POST", path, body.encode("utf-8"))
        if status != 200:
            raise _refusal(status, answer)

    def ask(self, job_id: str) -> Optional[dict[str, Any]]:
        status, answer = self._exchange("GET", f"/api/jobs/{quote(job_id, safe='')}")
        if status == 404:
            return None
        if status != 200:
            raise _refusal(status, answer)
        return _as_door(_object(answer))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind: type[Union[http.client.HTTPConnection, http.client.HTTPSConnection]] = (
            http.client.HTTPSConnection if self._base.scheme == "https"
            else http.client.HTTPConnection)
        connection = kind(self._base.hostname or "", self._base.port, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unreachable(f"{self._base.netloc}: {error}") from error
        return connection

    def _exchange(self, method: str, path: str, body: Optional[bytes] = None) -> tuple[int, bytes]:
        if time.monotonic() - self._used_at > IDLE_MAX:
            self.close()
        is_old = self._connection is not None
        connection = self._connection = self._connection or self._connect()
        headers = self._headers if body is None else {
            **self._headers, "Content-Type": "application/json"}
        try:
            connection.request(method, self._prefix + path, body, headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(
                f"{self._base.netloc}: {error or type(error).__name__}", may_have_arrived=True,
                is_stale=is_old and not isinstance(error, socket.timeout)) from error
        self._used_at = time.monotonic()
        if response.will_close or not response.isclosed():
            self.close()
        if response.status in AGAIN:
            raise Unreachable(f"{self._base.netloc}: {_said(response.status, answer)[0]}")
        return response.status, answer


def _object(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused("the answer is not a Reelay server's", "not_reelay")
    return found


def _said(status: int, answer: bytes) -> tuple[str, str]:
    """The server's message and code, where it gave them."""
    try:
        error = json.loads(answer)["error"]
        return f"{error['message']} ({status} {error['code']})", str(error["code"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}", f"http_{status}"


def _refusal(status: int, answer: bytes) -> Refused:
    return Refused(*_said(status, answer))


def _as_door(job: dict[str, Any]) -> dict[str, Any]:
    """A job as `GET` has it, in the words that watchers hear. A cancelled one is a failed one."""
    state = job.get("state")
    said: dict[str, Any] = {
        "job_id": job.get("id"),
        "status": "failed" if state == "cancelled" else state,
        "stage": job.get("stage") or "processing",
        "progress": job.get("progress") or 0.0,
        "message": job.get("message") or "",
        "timestamp": job.get("updated_at"),
    }
    if state == "completed":
        said["result"] = job.get("result") if job.get("result") is not None else {}
    elif said["status"] == "failed":
        said["error"] = job.get("error") or "Processing failed"
    if job.get("metadata") is not None:
        said["metadata"] = job["metadata"]
    return said
