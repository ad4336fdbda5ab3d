// Ports for servers that cannot say which one they got, or that come back to theirs.
import net from 'node:net';

// Below the range that connections get theirs from, so that nobody takes one in passing
// while its server is not yet there, or is down for a moment; and with 10,000 added still
// below it, where a Redis cluster has its bus.
const FIRST = 12_000;
const BLOCKS = 100;
const BLOCK = 100;

const listen = (port) =>
  new Promise((resolve) => {
    const listener = net.createServer();
    listener.on('error', () => resolve(null));
    listener.listen(port, '127.0.0.1', () => resolve(listener));
  });

// Each process has a block of its own for as long as it lives: who listens at the first of
// its ports has the others. So two that run at once never take the same one.
async function takeBlock() {
  for (;;) {
    const first = FIRST + BLOCK * Math.floor(Math.random() * BLOCKS);
    const guard = await listen(first);
    guard?.unref();
    if (guard) return first;
  }
}

let block;
let last = 0;

export async function freePort() {
  const first = await (block ??= takeBlock());
  for (;;) {
    last = (last % (BLOCK - 1)) + 1; // the longest unused
    const port = first + last;
    const listener = await listen(port);
    if (!listener) continue;
    await new Promise((resolve) => listener.close(resolve));
    return port;
  }
}
