from fastapi import APIRouter, BackgroundTasks
from api.websocket import ProgressReporter
import uuid

router = APIRouter()

async def process_job(job_id: str):
    """Background job that reports progress"""
    reporter = ProgressReporter()
    await reporter.initialize()

    try:
        # Your processing logic here
        await reporter.report(job_id, "processing", 0.5, "Working...")
        # ...
        await reporter.report_complete(job_id, {"result": "success"})
    finally:
        await reporter.close()

@router.post("/jobs/create")
async def create_job(background_tasks: BackgroundTasks):
    job_id = str(uuid.uuid4())

    # Start background job
    background_tasks.add_task(process_job, job_id)

    return {
        "job_id": job_id,
        "websocket_url": f"/ws/jobs/{job_id}",
        "status": "queued"
    }
