import { io } from 'socket.io-client';

// Connect to WebSocket
const socket = io('http://localhost:3001/file-processing');

socket.on('connect', () => {
  console.log('Connected to WebSocket');
  
  // Subscribe to file processing updates
  socket.emit('subscribe:file', { fileId: 'video-uuid-123' });
});

socket.on('subscribed', (data) => {
  console.log('Subscribed to file:', data.fileId);
});

socket.on('processing:progress', (data) => {
  console.log(`Progress: ${data.progress}% - ${data.message}`);
  // Update UI with progress
  document.getElementById('progress-bar').value = data.progress;
  document.getElementById('status-text').textContent = data.message;
});

socket.on('processing:completed', (data) => {
  console.log('Processing completed!', data.result);
  // Show completion message
});

socket.on('processing:failed', (data) => {
  console.error('Processing failed:', data.error);
  // Show error message
});

// Cleanup when done
socket.emit('unsubscribe:file', { fileId: 'video-uuid-123' });
