class VideoProgressTracker {
  constructor(videoId, accessToken, callbacks = {}) {
    this.videoId = videoId;
    this.accessToken = accessToken;
    this.callbacks = callbacks;
    this.ws = null;
  }

  connect() {
    const url = `wss://api.example.com/socket/stream/progress/${this.videoId}/?token=${this.accessToken}`;
    this.ws = new WebSocket(url);

    this.ws.onmessage = (event) => {
      const data = JSON.parse(event.data);
      
      if (data.type === 'progress' && this.callbacks.onProgress) {
        this.callbacks.onProgress(data.stage, data.progress, data.message);
      }
      
      if (data.type === 'complete' && this.callbacks.onComplete) {
        this.callbacks.onComplete(data.hls_path);
      }
      
      if (data.type === 'error' && this.callbacks.onError) {
        this.callbacks.onError(data.message, data.error);
      }
    };

    this.ws.onerror = (error) => {
      if (this.callbacks.onError) {
        this.callbacks.onError('Connection error', error);
      }
    };

    this.ws.onclose = (event) => {
      if (event.code === 4001 && this.callbacks.onError) {
        this.callbacks.onError('Authentication failed');
      }
    };
  }

  disconnect() {
    if (this.ws) {
      this.ws.close();
    }
  }
}

// Usage
const tracker = new VideoProgressTracker(123, 'jwt-token', {
  onProgress: (stage, progress, message) => {
    console.log(`${stage}: ${progress}% - ${message}`);
    document.getElementById('progress-bar').style.width = `${progress}%`;
    document.getElementById('status-text').textContent = message;
  },
  onComplete: (hlsPath) => {
    console.log('Video ready!', hlsPath);
    alert('Video processing complete!');
  },
  onError: (message, error) => {
    console.error('Error:', message, error);
    alert(`Error: ${message}`);
  }
});

tracker.connect();
