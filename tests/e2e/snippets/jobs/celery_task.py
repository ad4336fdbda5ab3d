from celery import Task
from api.websocket import ProgressReporter

class ProgressTask(Task):
    """Celery task that reports progress via WebSocket"""

    async def report_progress(self, stage, progress, message):
        reporter = ProgressReporter()
        await reporter.initialize()
        try:
            await reporter.report(
                self.request.id,
                stage,
                progress,
                message
            )
        finally:
            await reporter.close()

@celery_app.task(base=ProgressTask, bind=True)
def render_video(self, video_path):
    # Report progress
    asyncio.run(self.report_progress("rendering", 0.5, "Rendering..."))

    # Do work
    result = process_video(video_path)

    # Complete
    reporter = ProgressReporter()
    asyncio.run(reporter.initialize())
    asyncio.run(reporter.report_complete(self.request.id, result))
    asyncio.run(reporter.close())

    return result
