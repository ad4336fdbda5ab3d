// A client that stops reading under a flood: it costs the server next to
// nothing, and when it reads again it gets the present and the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { flood, PER_SECOND } from '../support/flood.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const FLOOD_MS = 8000;
const SLOW = 40;

test('a slow reader gets the present and the end, and costs little', { timeout: 180_000 }, async (t) => {
  // What AddressSanitizer keeps of what was freed is not the server's.
  const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8` };
  const server = await Server.during(t, { env });
  const fast = await server.watchJob('flooded');
  const slow = await Promise.all([...Array(SLOW)].map(() => server.watchJob('flooded')));
  // A little first, so that what the server needs once is there.
  await flood(server, 'flooded-before', 1000);
  await server.report('flooded', { stage: 'rendering', progress: 0, message: 'begin' });
  for (const watcher of slow) await watcher.settle();
  const before = server.memory();
  for (const watcher of slow) watcher.socket.pause();

  let highest = 0;
  const gauge = setInterval(() => (highest = Math.max(highest, server.memory())), 100);
  t.after(() => clearInterval(gauge));
  const sent = await flood(server, 'flooded', FLOOD_MS);
  await server.report('flooded', { stage: 'rendering', progress: 0.995, message: 'latest' });
  await fast.until((message) => message.message === 'latest');
  clearInterval(gauge);
  const grown = Math.max(highest, server.memory()) - before;
  t.diagnostic(`${sent} reports, memory grew by ${(grown / 1e6).toFixed(1)} MB`);
  assert.ok(sent > PER_SECOND, `only ${sent} reports could be made`);
  // All of it for all of them would be over a gigabyte.
  assert.ok(grown < 100e6, `${grown}`);

  for (const watcher of slow) watcher.socket.resume();
  const isLatest = (message) => message.message === 'latest';
  for (const watcher of slow) await watcher.until(isLatest, 'the latest state');
  for (const watcher of slow) {
    // What the two kernels hold between them, and no backlog of the server's.
    const kept = watcher.messages.reduce((bytes, message) => bytes + JSON.stringify(message).length, 0);
    assert.ok(kept < 1_500_000, `${watcher.messages.length} of ${sent}, ${kept} bytes, were kept for it`);
  }

  // And the end, also when it comes while nobody reads.
  for (const watcher of slow) watcher.socket.pause();
  await flood(server, 'flooded-2', 2000);
  await server.report('flooded', { status: 'completed', result: { frames: 1 } });
  for (const watcher of slow) watcher.socket.resume();
  for (const watcher of slow) {
    await watcher.until((message) => message.status === 'completed', 'the end');
    watcher.drop();
  }
  await waitFor(() => fast.last.status === 'completed', 'the fast reader to hear the end');
  fast.drop();
});
