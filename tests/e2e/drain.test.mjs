// SIGTERM: what is under way is finished or kept, everybody is told, status 0.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';

import { clip } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { isAlive, Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor, within } from '../support/wait.mjs';

test('a server that is asked to end says 1001 at every door and ends with status 0', async (t) => {
  const server = await Server.during(t);
  const token = await server.token();
  const watchers = await Promise.all([
    server.watchStream(1, token),
    server.watchDownload('a'),
    server.watchJob('a'),
    server.watchAll(),
  ]);
  for (const watcher of watchers) await watcher.settle();
  await server.stop();
  for (const watcher of watchers) {
    assert.equal((await within(watcher.closed, 'the Close')).code, 1001, watcher.url);
  }
});

test('SIGINT is the same', async (t) => {
  const server = await Server.during(t);
  const watcher = await server.watchAll();
  await server.stop('SIGINT');
  assert.equal((await within(watcher.closed, 'the Close')).code, 1001);
});

test('a job that was under way goes on after a restart', { timeout: 240_000 }, async (t) => {
  const server = await Server.during(t);
  const bytes = readFileSync(await clip({ seconds: 12, size: '1280x720' }));
  const upload = await Upload.create(server, { bytes });
  await upload.putAll();
  await upload.assemble();
  const ffmpeg = await waitFor(() => server.children('ffmpeg')[0], 'ffmpeg to run');
  const before = await upload.job();
  await server.stop();
  assert.ok(!isAlive(ffmpeg.pid), 'ffmpeg outlived its server');
  await server.start();
  const after = await upload.job();
  assert.ok(after.seq >= before.seq);
  assert.ok(['processing', 'completed'].includes(after.state), after.state);
  assert.ok(after.progress >= before.progress);
  await verify(server, await upload.complete(), 12);
});

test('a request that is under way is answered', async (t) => {
  const server = await Server.during(t);
  const body = JSON.stringify({ stage: 'a', progress: 0.5, message: 'x' });
  const socket = net.connect(server.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => (answer += data));
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.on('close', resolve));
  socket.write(
    `POST /api/jobs/drained/progress HTTP/1.1\r\nHost: ${server.host}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
  );
  await waitFor(() => answer.includes('100 Continue'), '100 Continue');
  const stopped = server.stop();
  // The listener is gone before the request is finished.
  await waitFor(
    () => new Promise((resolve) => {
      const probe = net.connect(server.port, '127.0.0.1');
      probe.on('connect', () => resolve(probe.destroy() && false));
      probe.on('error', () => resolve(true));
    }),
    'the listener to close',
  );
  socket.write(body);
  await stopped;
  await within(ended, 'the end of the connection');
  assert.match(answer, /HTTP\/1\.1 20\d /);
});

test('a client that does not answer the Close does not hold up the end', async (t) => {
  const server = await Server.during(t);
  const watcher = await server.watchAll();
  await watcher.settle();
  watcher.socket.pause();
  await server.stop();
  watcher.drop();
});

test('two servers never share a data directory', async (t) => {
  const server = await Server.during(t);
  const second = new Server({ dataDir: server.dataDir });
  t.after(() => second.exit ?? second.kill());
  await assert.rejects(second.start(), /the server ended/);
  assert.notEqual(second.exit.code, 0);
  second.forgetWitness();
  assert.equal((await server.get('/health')).status, 200);
});
