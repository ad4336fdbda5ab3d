async function uploadVideoWithProgress(file, videoData, accessToken) {
  // Step 1: Create video record
  const { data: video } = await api.post('/streaming/create-video/', videoData);
  const videoId = video.id;

  // Step 2: Connect to progress WebSocket
  const ws = new WebSocket(
    `wss://api.example.com/socket/stream/progress/${videoId}/?token=${accessToken}`
  );

  ws.onmessage = (event) => {
    const data = JSON.parse(event.data);
    updateProgressUI(data);
  };

  // Step 3: Upload chunks
  const CHUNK_SIZE = 5 * 1024 * 1024; // 5MB
  const totalChunks = Math.ceil(file.size / CHUNK_SIZE);

  for (let i = 0; i < totalChunks; i++) {
    const chunk = file.slice(i * CHUNK_SIZE, (i + 1) * CHUNK_SIZE);

    // Get presigned URL
    const { data: urlData } = await api.post('/streaming/get-chunk-upload-url/', {
      videoId,
      chunkIndex: i,
      totalChunks
    });

    // Upload directly to R2
    await fetch(urlData.upload_url, {
      method: 'PUT',
      body: chunk,
      headers: { 'Content-Type': 'application/octet-stream' }
    });

    console.log(`Uploaded chunk ${i + 1}/${totalChunks}`);
  }

  // Step 4: Trigger assembly (progress updates come via WebSocket)
  await api.post('/streaming/assemble-chunks/', {
    videoId,
    fileName: file.name
  });

  // WebSocket will receive progress updates for assembly and HLS conversion
  // Close WebSocket when 'complete' or 'error' message is received
}
