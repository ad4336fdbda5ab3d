import { useEffect, useState, useRef } from 'react';

interface DownloadStatus {
  jobId: string;
  status: 'queued' | 'processing' | 'completed' | 'failed';
  progress: number;
  videoInfo?: any;
  downloadUrl?: string;
  error?: string;
}

export function useWebSocket(jobId: string) {
  const [status, setStatus] = useState<DownloadStatus | null>(null);
  const [isConnected, setIsConnected] = useState(false);
  const wsRef = useRef<WebSocket | null>(null);

  useEffect(() => {
    if (!jobId) return;

    const ws = new WebSocket(`ws://localhost:3001/ws/download/${jobId}`);

    ws.onopen = () => {
      setIsConnected(true);

      // Keep alive
      const pingInterval = setInterval(() => {
        if (ws.readyState === WebSocket.OPEN) {
          ws.send('ping');
        }
      }, 30000);

      ws.onclose = () => clearInterval(pingInterval);
    };

    ws.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === 'status') {
        setStatus(message.data);
      }
    };

    ws.onclose = () => setIsConnected(false);

    wsRef.current = ws;

    return () => {
      ws.close();
    };
  }, [jobId]);

  return { status, isConnected };
}
