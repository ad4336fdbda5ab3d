// Behind nginx with nothing but proxy_pass.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { request } from '../support/http.mjs';
import { Listener } from '../support/listener.mjs';
import { nginxBefore } from '../support/nginx.mjs';
import { Server } from '../support/server.mjs';
import { Gateway } from '../support/socketio.mjs';
import { within } from '../support/wait.mjs';

test('server-sent events pass nginx as they come, and end', async (t) => {
  const server = await Server.during(t);
  const origin = await nginxBefore(t, server);
  const listener = await Listener.open(`${origin}/api/jobs/proxied/events`);
  assert.equal(listener.status, 200);
  for (let step = 1; step <= 5; step++) {
    await server.report('proxied', { stage: 'a', progress: step / 10, message: `${step}` });
    // Each before the next is said: nothing is held back.
    await listener.until((job) => job.message === `${step}`);
  }
  await server.report('proxied', { status: 'completed', result: {} });
  await listener.over();
  const { seq } = await server.job('proxied');
  assert.equal(Number(listener.ids.at(-1)), seq);
  const again = await request(`${origin}/api/jobs/proxied/events`, { headers: { 'last-event-id': `${seq}` } });
  assert.equal(again.status, 204);
});

test('a poll passes nginx', async (t) => {
  const server = await Server.during(t);
  const origin = await nginxBefore(t, server);
  await server.tell('polled', { stage: 'a', progress: 0.1, message: '' });
  const { headers } = await request(`${origin}/api/status/polled`);
  const poll = request(`${origin}/api/status/polled?wait=30`, { headers: { 'if-none-match': headers.etag } });
  await server.get('/health');
  await server.report('polled', { stage: 'a', progress: 0.2, message: '' });
  const answer = await within(poll, 'the answer');
  assert.equal(answer.status, 200);
  assert.equal(answer.json.progress, 20);
  assert.notEqual(answer.headers.etag, headers.etag);
});

// Each request comes on a connection of its own there, so on any thread, and a
// WebSocket does not pass: the client stays with polling.
test('Socket.IO passes nginx', async (t) => {
  const server = await Server.during(t, { args: ['--threads', '4'] });
  const origin = await nginxBefore(t, server);
  const gateway = await Gateway.during(t, { origin }, { transports: ['polling', 'websocket'] });
  const files = Array.from({ length: 20 }, (_, i) => `through-${i}`);
  await Promise.all(files.map((file) => gateway.subscribe(file)));
  for (const file of files) {
    await server.report(file, { stage: 'a', progress: 0.5, message: 'x' });
    await server.report(file, { status: 'completed', result: {} });
  }
  for (const file of files) {
    await gateway.until('processing:completed', ({ fileId }) => fileId === file, `the end of ${file}`);
    const life = gateway.life(file);
    assert.deepEqual([life[0], life.at(-1)], ['started', 'completed'], String(life));
  }
  assert.equal(gateway.engine.transport.name, 'polling');
  await gateway.lose();
  assert.equal(gateway.socket.recovered, true);
});
