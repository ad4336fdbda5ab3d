// The jobs door says something every 30 seconds to who has heard nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Server } from '../support/server.mjs';

test('the jobs door says its keepalive after 30 s of silence, not before', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t);
  const began = Date.now(); // before it: then it cannot have been silent for longer
  const quiet = await server.watchJob('quiet');
  const busy = await server.watchJob('busy');
  // A client that hears something is not in need of it.
  const chatter = setInterval(
    () => server.report('busy', { stage: 'a', progress: 0.5, message: `${Date.now()}` }).catch(() => {}),
    5000,
  );
  t.after(() => clearInterval(chatter));
  const said = await quiet.until((message) => message.type === 'ping', 'a keepalive');
  const silence = Date.now() - began;
  assert.ok(silence > 28_000 && silence < 55_000, `after ${silence} ms`);
  const { timestamp, ...rest } = said;
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.deepEqual(rest, { type: 'ping', message: 'keepalive', job_id: 'quiet' });
  await busy.settle();
  assert.ok(!busy.messages.some((message) => message.type === 'ping'));
  await quiet.leave();
  await busy.leave();
});
