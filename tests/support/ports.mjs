// Ports for servers that cannot say which one they got.
import net from 'node:net';

// Below the range that connections get theirs from, so that nobody takes one in passing
// while its server is not yet there, or is down for a moment; and with 10,000 added still
// below it, where a Redis cluster has its bus.
const FIRST = 12_000;
const COUNT = 10_000;

const isFree = (port) =>
  new Promise((resolve) => {
    const listener = net.createServer();
    listener.on('error', () => resolve(false));
    listener.listen(port, '127.0.0.1', () => listener.close(() => resolve(true)));
  });

export async function freePort() {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
}
