import { useEffect, useState } from 'react';
import { io, Socket } from 'socket.io-client';

interface ProcessingStatus {
  progress: number;
  status: 'processing' | 'completed' | 'failed';
  message?: string;
}

function VideoUploadComponent() {
  const [socket, setSocket] = useState<Socket | null>(null);
  const [processingStatus, setProcessingStatus] = useState<ProcessingStatus | null>(null);

  useEffect(() => {
    // Connect to WebSocket
    const newSocket = io('http://localhost:3001/file-processing', {
      transports: ['websocket'],
    });

    newSocket.on('connect', () => {
      console.log('WebSocket connected');
    });

    setSocket(newSocket);

    return () => {
      newSocket.disconnect();
    };
  }, []);

  const handleVideoUpload = async (file: File) => {
    // 1. Upload video via ORPC
    const response = await uploadVideo({ file });
    const { videoId } = response;

    // 2. Subscribe to processing updates
    if (socket) {
      socket.emit('subscribe:file', { fileId: videoId });

      // Listen for processing events
      socket.on('processing:started', (data) => {
        console.log('Processing started:', data);
        setProcessingStatus({ progress: 0, status: 'processing' });
      });

      socket.on('processing:progress', (data) => {
        console.log('Progress update:', data);
        setProcessingStatus({
          progress: data.progress,
          status: data.status,
          message: data.message,
        });
      });

      socket.on('processing:completed', (data) => {
        console.log('Processing completed:', data);
        setProcessingStatus({ progress: 100, status: 'completed' });
      });

      socket.on('processing:failed', (data) => {
        console.error('Processing failed:', data);
        setProcessingStatus({ progress: 0, status: 'failed', message: data.error });
      });
    }
  };

  return (
    <div>
      <input type="file" onChange={(e) => handleVideoUpload(e.target.files[0])} />
      {processingStatus && (
        <div>
          <progress value={processingStatus.progress} max={100} />
          <p>{processingStatus.message || processingStatus.status}</p>
        </div>
      )}
    </div>
  );
}
