// Server-sent events to who stops reading under a flood: that costs the server
// next to nothing, and when it reads again it gets the present and the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { flood } from '../support/flood.mjs';
import { Listener } from '../support/listener.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const FLOOD_MS = 5000;
const SLOW = 40;

test('a slow listener gets the present and the end, and costs little', { timeout: 180_000 }, async (t) => {
  // What AddressSanitizer keeps of what was freed is not the server's.
  const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=8` };
  const server = await Server.during(t, { env });
  const listen = () => Listener.open(`${server.origin}/api/jobs/flooded/events`);
  const fast = await listen();
  const slow = await Promise.all([...Array(SLOW)].map(listen));
  await flood(server, 'flooded-before', 1000);
  await server.report('flooded', { stage: 'rendering', progress: 0, message: 'begin' });
  for (const listener of slow) await listener.until((job) => job.message === 'begin');
  const before = server.memory();
  for (const listener of slow) listener.answer.pause();

  let highest = 0;
  const gauge = setInterval(() => (highest = Math.max(highest, server.memory())), 100);
  t.after(() => clearInterval(gauge));
  const sent = await flood(server, 'flooded', FLOOD_MS);
  await server.report('flooded', { stage: 'rendering', progress: 0.995, message: 'latest' });
  await fast.until((job) => job.message === 'latest');
  clearInterval(gauge);
  const grown = Math.max(highest, server.memory()) - before;
  t.diagnostic(`${sent} reports, memory grew by ${(grown / 1e6).toFixed(1)} MB`);
  assert.ok(grown < 100e6, `${grown}`);

  for (const listener of slow) listener.answer.resume();
  for (const listener of slow) await listener.until((job) => job.message === 'latest', 'the latest state');
  for (const listener of slow) {
    // What the two kernels hold between them, and no backlog of the server's.
    assert.ok(listener.text.length < 2_500_000, `${listener.events.length} of ${sent}, ${listener.text.length} bytes`);
    for (let at = 1; at < listener.ids.length; at++) {
      assert.ok(Number(listener.ids[at]) > Number(listener.ids[at - 1]), 'an older state behind a newer one');
    }
  }

  // And the end, also when it comes while nobody reads.
  for (const listener of slow) listener.answer.pause();
  await flood(server, 'flooded', 2000);
  await server.report('flooded', { status: 'completed', result: { frames: 1 } });
  await fast.over();
  for (const listener of slow) listener.answer.resume();
  for (const listener of slow) {
    await waitFor(() => listener.end, 'the end of a stream');
    assert.equal(listener.end, 'end');
    assert.equal(listener.messages.at(-1).state, 'completed');
  }
});
