import { useEffect, useState, useRef } from 'react';

function VideoUploadProgress({ videoId, accessToken }) {
  const [stage, setStage] = useState('');
  const [progress, setProgress] = useState(0);
  const [message, setMessage] = useState('Waiting...');
  const [status, setStatus] = useState('pending');
  const wsRef = useRef(null);

  useEffect(() => {
    if (!videoId || !accessToken) return;

    const wsUrl = `wss://api.example.com/socket/stream/progress/${videoId}/?token=${accessToken}`;
    const ws = new WebSocket(wsUrl);
    wsRef.current = ws;

    ws.onopen = () => {
      console.log('WebSocket connected');
    };

    ws.onmessage = (event) => {
      const data = JSON.parse(event.data);

      switch (data.type) {
        case 'connection':
          setStatus('connected');
          setMessage(data.message);
          break;

        case 'progress':
          setStage(data.stage);
          setProgress(data.progress);
          setMessage(data.message);
          setStatus('processing');
          break;

        case 'complete':
          setStatus('completed');
          setProgress(100);
          setMessage(data.message);
          break;

        case 'error':
          setStatus('failed');
          setMessage(data.message);
          break;
      }
    };

    ws.onerror = (error) => {
      console.error('WebSocket error:', error);
      setStatus('error');
      setMessage('Connection error');
    };

    ws.onclose = (event) => {
      if (event.code === 4001) {
        setStatus('error');
        setMessage('Authentication failed');
      }
    };

    return () => {
      ws.close();
    };
  }, [videoId, accessToken]);

  return (
    <div className="video-progress">
      <div className="stage">{stage || 'Waiting'}</div>
      <div className="progress-bar">
        <div 
          className="progress-fill" 
          style={{ width: `${progress}%` }}
        />
      </div>
      <div className="progress-text">{progress}%</div>
      <div className="message">{message}</div>
      <div className={`status status-${status}`}>{status}</div>
    </div>
  );
}

export default VideoUploadProgress;
