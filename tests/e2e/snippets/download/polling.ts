// ❌ Old polling approach
useEffect(() => {
  const interval = setInterval(async () => {
    const response = await fetch(`/api/status/${jobId}`);
    const data = await response.json();
    setStatus(data);
  }, 1000); // Poll every second

  return () => clearInterval(interval);
}, [jobId]);
