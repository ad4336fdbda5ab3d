// Behind nginx: with nothing but proxy_pass, and as the docs have it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clip } from '../support/clips.mjs';
import { request } from '../support/http.mjs';
import { Listener } from '../support/listener.mjs';
import { documented, nginxBefore } from '../support/nginx.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { Server, reelay } from '../support/server.mjs';
import { Gateway } from '../support/socketio.mjs';
import { within } from '../support/wait.mjs';
import { watch } from '../support/watcher.mjs';

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

test('nginx gets no token for who comes through it', async (t) => {
  const server = await Server.during(t);
  assert.equal((await server.request('/api/session', { method: 'POST' })).status, 200);
  for (const configuration of [undefined, documented]) {
    const origin = await nginxBefore(t, server, configuration);
    const answer = await request(`${origin}/api/session`, { method: 'POST' });
    assert.equal(answer.status, 401, answer.text);
  }
});

test('everything passes the nginx of the docs', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { env: withSecret });
  const origin = await nginxBefore(t, server, documented);
  const token = mint({ sub: 'alice' });
  const { status, stdout, stderr } = await reelay(['upload', '--server', origin, '--token', token, await clip({ seconds: 2 })]);
  assert.equal(status, 0, stderr);
  const { state, id } = JSON.parse(stdout.trim().split('\n').at(-1));
  assert.equal(state, 'completed');
  const ask = await request(`${origin}/streaming/create-video/`, { method: 'POST', json: {}, token });
  const url = await request(`${origin}/streaming/get-chunk-upload-url/`, {
    method: 'POST', token, json: { videoId: ask.json.id, chunkIndex: 0, totalChunks: 1 } });
  assert.ok(url.json.upload_url.startsWith(`${origin}/`), url.json.upload_url);
  const large = await request(url.json.upload_url, { method: 'PUT', body: Buffer.alloc(4 << 20) });
  assert.equal(large.status, 200, 'a chunk that is more than nginx takes by itself');
  // Its own pages are not foreign to it.
  const headers = { origin };
  const watcher = await watch(`${origin.replace('http', 'ws')}/ws/jobs/${id}?token=${token}`, { headers });
  await watcher.until((message) => message.status === 'completed');
  await watcher.leave();
  assert.equal((await request(`${origin}/jobs/create`, { method: 'POST', json: {}, token, headers })).status, 200);
  const gateway = await Gateway.during(t, { origin }, { transports: ['websocket'], auth: { token } });
  await gateway.subscribe(id);
  await gateway.until('processing:completed', ({ fileId }) => fileId === String(id));
});
