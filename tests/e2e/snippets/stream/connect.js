const videoId = 123;
const accessToken = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...';

const ws = new WebSocket(
  `wss://api.example.com/socket/stream/progress/${videoId}/?token=${accessToken}`
);
