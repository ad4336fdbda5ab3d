# Install wscat
npm install -g wscat

# Connect to WebSocket
wscat -c ws://localhost:3001/file-processing

# Subscribe to file
> {"event":"subscribe:file","data":{"fileId":"video-uuid-123"}}

# You'll receive updates:
< {"event":"processing:progress","data":{"fileId":"video-uuid-123","progress":20,"status":"processing","message":"Extracting metadata..."}}
