ws.onclose = (event) => {
  switch (event.code) {
    case 4001:
      // Token invalid or expired - refresh token and reconnect
      refreshTokenAndReconnect();
      break;
    case 1000:
      // Normal closure
      break;
    default:
      // Unexpected closure - attempt reconnect
      setTimeout(() => reconnect(), 3000);
  }
};
