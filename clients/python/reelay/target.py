"""Whom it is told: a target takes one report at a time, on the courier's thread."""

from __future__ import annotations

import os
from typing import Any, Callable, Optional, Protocol
from urllib.parse import urlsplit

from .message import Report

DEFAULT_URL = "http://127.0.0.1:3001"


class Target(Protocol):
    """Both calls raise Unreachable or Refused; close() can be called at any time and twice."""

    def tell(self, report: Report) -> None: ...

    def ask(self, job_id: str) -> Optional[dict[str, Any]]: ...

    def close(self) -> None: ...


def choose(url: Optional[str], token: Optional[str], timeout: float,
           ttl: int) -> Callable[[], Target]:
    """How to make the target that the arguments, else the environment, name."""
    where = url or os.environ.get("REELAY_URL") or os.environ.get("REDIS_URL") or DEFAULT_URL
    scheme = urlsplit(where).scheme.lower()
    if scheme in ("http", "https"):
        from .http_target import HttpTarget, check_token, check_url

        base = check_url(where)
        bearer = check_token(token if token is not None else os.environ.get("REELAY_TOKEN"))
        return lambda: HttpTarget(base, bearer, timeout)
    if scheme in ("redis", "rediss", "redis+unix", "unix"):
        try:
            from .redis_target import RedisTarget
        except ImportError as error:
            raise ImportError(f"reporting to {scheme}:// needs the package redis: "
                              "pip install 'reelay[redis]'") from error
        return lambda: RedisTarget(where, timeout, ttl)
    raise ValueError("url must begin with http://, https://, redis://, rediss:// or "
                     "redis+unix://")
