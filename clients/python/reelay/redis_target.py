"""Redis, as the services before Reelay had it: what is published to job_progress:{id} stays
for an hour at job_status:{id}."""

from __future__ import annotations

import json
from typing import Any, Optional

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import Refused, Unreachable
from .message import Report

# First words of errors that pass: no memory, a replica, a failover, a script that runs on.
PASSING = ("OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF",
           "NOREPLICAS")


class RedisTarget:
    def __init__(self, url: str, timeout: float, ttl: int):
        if url.lower().startswith("redis+unix:"):  # as `reelay serve --engine` has it
            url = "unix:" + url[len("redis+unix:"):]
        # The courier knows better when to try again.
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0))
        self._ttl = ttl
        self._is_used = False

    def tell(self, report: Report) -> None:
        progress = report.progress
        if progress is None:
            before = self.ask(report.job_id) or {}
            progress = before.get("progress")
            progress = float(progress) if isinstance(progress, (int, float)) else 0.0
        text = json.dumps(report.door(progress), ensure_ascii=False)
        # Kept first: who hears it and then looks finds it, or newer.
        pipe = self._client.pipeline(transaction=True)
        pipe.setex(f"job_status:{report.job_id}", self._ttl, text)
        pipe.publish(f"job_progress:{report.job_id}", text)
        self._do(pipe.execute)

    def ask(self, job_id: str) -> Optional[dict[str, Any]]:
        text = self._do(lambda: self._client.get(f"job_status:{job_id}"))
        if text is None:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(f"job_status:{job_id} holds something else", "not_status")
        return found

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()
        self._is_used = False

    def _do(self, call: Any) -> Any:
        was_used = self._is_used
        try:
            done = call()
        except redis.exceptions.AuthenticationError as error:
            raise Refused(f"Redis: {error}", "redis") from error
        except redis.exceptions.TimeoutError as error:
            self.close()
            raise Unreachable(f"Redis: {error}", may_have_arrived=True) from error
        except (redis.exceptions.ConnectionError, OSError) as error:
            self.close()
            raise Unreachable(f"Redis: {error}", is_stale=was_used,
                              may_have_arrived=True) from error
        except redis.exceptions.RedisError as error:
            raise _trouble(error) from error
        self._is_used = True
        return done


def _trouble(error: Exception) -> Exception:
    # redis-py repeats the command in front of what went wrong, and with it the report.
    why = str(error).rpartition("caused error: ")[2]
    # Of the errors it knows, redis-py has taken the first word off.
    passes = (why.partition(" ")[0] in PASSING
              or type(error).__name__ in ("ReadOnlyError", "OutOfMemoryError"))
    return Unreachable(f"Redis: {why}") if passes else Refused(f"Redis: {why}", "redis")
