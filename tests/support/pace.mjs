// The ffmpeg of whoever runs one, held: so that a conversion is in its middle for as long
// as a test needs, on any machine.
import { isAlive, signalAll } from './server.mjs';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Stops it where it is; the pids, none if there is no ffmpeg, for `goOn`.
export const hold = (node) =>
  signalAll(node.children('ffmpeg').map(({ pid }) => pid).filter(isAlive), 'SIGSTOP');

export const goOn = (pids) => signalAll(pids, 'SIGCONT');

// Waits for something that its ffmpeg does, and lets it do that little by little: so that
// the conversion is not over by then on a machine that is fast.
export async function paced(node, wait) {
  let isOver = false;
  const done = wait().finally(() => (isOver = true));
  done.catch(() => {});
  for (let ms = 10; !isOver; ms *= 1.1) {
    await pause(ms);
    const held = hold(node); // or it is between two of them
    await pause(30);
    goOn(held);
  }
  return done;
}
