// Connect to WebSocket
const ws = new WebSocket(`ws://localhost:3001/ws/download/${jobId}`);

// Handle connection open
ws.onopen = () => {
  console.log('WebSocket connected');
};

// Handle messages
ws.onmessage = (event) => {
  const message = JSON.parse(event.data);

  if (message.type === 'status') {
    const { jobId, status, progress, videoInfo, downloadUrl } = message.data;
    // Update UI with status
  }
};

// Handle errors
ws.onerror = (error) => {
  console.error('WebSocket error:', error);
};

// Handle connection close
ws.onclose = (event) => {
  console.log('WebSocket closed:', event.code);
  // Implement reconnection logic
};

// Keep connection alive
setInterval(() => {
  if (ws.readyState === WebSocket.OPEN) {
    ws.send('ping');
  }
}, 30000); // Every 30 seconds

// Cleanup
ws.close();
