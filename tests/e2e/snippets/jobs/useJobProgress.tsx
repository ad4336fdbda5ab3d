import { useEffect, useState } from 'react';

interface JobProgress {
  job_id: string;
  status: 'processing' | 'completed' | 'failed';
  stage: string;
  progress: number;
  message: string;
  result?: any;
  error?: string;
}

export function useJobProgress(jobId: string) {
  const [progress, setProgress] = useState<JobProgress | null>(null);
  const [isConnected, setIsConnected] = useState(false);
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    const ws = new WebSocket(`ws://localhost:8084/ws/jobs/${jobId}`);

    ws.onopen = () => {
      setIsConnected(true);
      setError(null);
    };

    ws.onmessage = (event) => {
      const data = JSON.parse(event.data);
      setProgress(data);
    };

    ws.onerror = (err) => {
      setError('WebSocket connection error');
      setIsConnected(false);
    };

    ws.onclose = () => {
      setIsConnected(false);
    };

    return () => {
      ws.close();
    };
  }, [jobId]);

  return { progress, isConnected, error };
}

// Usage in component
function JobProgressMonitor({ jobId }: { jobId: string }) {
  const { progress, isConnected, error } = useJobProgress(jobId);

  if (error) return <div>Error: {error}</div>;
  if (!isConnected) return <div>Connecting...</div>;
  if (!progress) return <div>Waiting for updates...</div>;

  return (
    <div>
      <h3>{progress.stage}</h3>
      <progress value={progress.progress} max={1} />
      <p>{progress.message}</p>
      {progress.status === 'completed' && (
        <pre>{JSON.stringify(progress.result, null, 2)}</pre>
      )}
    </div>
  );
}
