// Connect to WebSocket
const jobId = "job_12345";
const ws = new WebSocket(`ws://localhost:8084/ws/jobs/${jobId}`);

ws.onopen = () => {
    console.log("Connected to job progress stream");
};

ws.onmessage = (event) => {
    const data = JSON.parse(event.data);

    if (data.type === 'connected') {
        console.log(`Connected to job ${data.job_id}`);
    }
    else if (data.status === 'processing') {
        console.log(`Progress: ${data.progress * 100}%`);
        console.log(`Stage: ${data.stage}`);
        console.log(`Message: ${data.message}`);

        // Update UI
        updateProgressBar(data.progress);
        updateStatusText(data.message);
    }
    else if (data.status === 'completed') {
        console.log("Job completed!", data.result);
        // Handle completion
    }
    else if (data.status === 'failed') {
        console.error("Job failed:", data.error);
        // Handle error
    }
};

ws.onerror = (error) => {
    console.error("WebSocket error:", error);
};

ws.onclose = () => {
    console.log("Disconnected from job progress stream");
};
