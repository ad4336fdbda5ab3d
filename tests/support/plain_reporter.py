"""The jobs document's ProgressReporter in plain redis-py, as the workers of services before
Reelay have it: SETEX job_status:{id} 3600 and PUBLISH job_progress:{id}, one after the other."""

import json
import os
from datetime import datetime, timezone

import redis.asyncio as redis


class ProgressReporter:
    def __init__(self, redis_url=None):
        self.redis_url = redis_url or os.getenv("REDIS_URL", "redis://localhost:6379")
        self.redis_client = None

    async def initialize(self):
        self.redis_client = redis.from_url(self.redis_url, decode_responses=True)

    async def close(self):
        if self.redis_client:
            await self.redis_client.close()
            await self.redis_client.connection_pool.disconnect()

    async def report(self, job_id, stage, progress, message, metadata=None):
        data = {
            "job_id": job_id,
            "status": "processing",
            "stage": stage,
            "progress": max(0.0, min(1.0, progress)),
            "message": message,
            "timestamp": datetime.now(timezone.utc).isoformat(),
        }
        if metadata:
            data["metadata"] = metadata
        await self._publish(job_id, data)

    async def report_error(self, job_id, error, stage="error"):
        before = await self.get_status(job_id)
        await self._publish(job_id, {
            "job_id": job_id,
            "status": "failed",
            "stage": stage,
            "progress": before["progress"] if before else 0.0,
            "message": f"Error: {error}",
            "error": error,
            "timestamp": datetime.now(timezone.utc).isoformat(),
        })

    async def report_complete(self, job_id, result, message="Job completed"):
        await self._publish(job_id, {
            "job_id": job_id,
            "status": "completed",
            "stage": "complete",
            "progress": 1.0,
            "message": message,
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "result": result,
        })

    async def get_status(self, job_id):
        data = await self.redis_client.get(f"job_status:{job_id}")
        return json.loads(data) if data else None

    async def _publish(self, job_id, data):
        await self.redis_client.publish(f"job_progress:{job_id}", json.dumps(data))
        await self.redis_client.setex(f"job_status:{job_id}", 3600, json.dumps(data))
