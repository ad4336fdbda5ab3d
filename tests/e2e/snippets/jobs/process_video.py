from api.websocket import ProgressReporter

async def process_video(job_id: str):
    """Process video and report progress"""
    reporter = ProgressReporter()
    await reporter.initialize()

    try:
        # Start processing
        await reporter.report(
            job_id=job_id,
            stage="rendering",
            progress=0.0,
            message="Starting video render..."
        )

        # Update progress
        total_frames = 2000
        for frame in range(total_frames):
            # Do work...
            progress = frame / total_frames
            await reporter.report(
                job_id=job_id,
                stage="rendering",
                progress=progress,
                message=f"Rendering frame {frame}/{total_frames}",
                metadata={"current_frame": frame}
            )

        # Complete
        await reporter.report_complete(
            job_id=job_id,
            result={
                "video_url": f"https://cdn.example.com/videos/{job_id}.mp4",
                "duration": 66.67,
                "frames": total_frames
            },
            message="Video rendering completed"
        )

    except Exception as e:
        await reporter.report_error(job_id, str(e), stage="rendering")
    finally:
        await reporter.close()
