// tus-js-client over connections that are cut, to a server that is killed: every byte
// arrives once, and where it belongs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { Relay, TusUpload, digest } from '../support/tus.mjs';
import { randomOf, seed, waitFor, within } from '../support/wait.mjs';

const tus = require('tus-js-client');
const MIB = 1024 * 1024;

// What the client makes of it: { url, requests }.
function send(bytes, endpoint, options = {}) {
  const requests = [];
  let url;
  const done = new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint,
      retryDelays: Array(2000).fill(20), // longer than any server takes to come back
      metadata: { filename: 'thirty.bin' },
      onAfterResponse: (request, response) => requests.push(`${request.getMethod()} ${response.getStatus()}`),
      onSuccess: () => resolve({ url: upload.url, requests }),
      onError: reject,
      ...options,
      onProgress(...all) {
        url = upload.url;
        options.onProgress?.(...all);
      },
    });
    upload.start();
  });
  return Object.assign(within(done, 'the end of the upload', 120_000), { url: () => url });
}

// A job that failed since the bytes are no video: they are still there.
async function failed(upload) {
  const job = await waitFor(async () => {
    const seen = await upload.job();
    return ['failed', 'completed'].includes(seen?.state) && seen;
  }, 'the job to end');
  assert.equal(job.state, 'failed');
}

const at = (server, url) => new TusUpload(server, new URL(url).pathname);

test('30 MB arrive whole over a connection that is cut again and again', async (t) => {
  t.diagnostic(`SEED=${seed}`);
  const random = randomOf(seed);
  const server = await Server.during(t);
  const relay = await Relay.during(t, server, (broken) => (broken < 20 ? MIB / 16 + Math.floor(random() * 2 * MIB) : Infinity));
  const bytes = randomBytes(30 * MIB);
  const { url, requests } = await send(bytes, `${relay.origin}/files/`);
  const upload = at(server, url);
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
  t.diagnostic(`${relay.broken} connections were cut; ${requests.length} requests were answered`);
  assert.ok(relay.broken >= 10, `only ${relay.broken} were cut`);
});

test('pieces of a client that sends many small ones arrive whole, too', async (t) => {
  const random = randomOf(seed);
  const server = await Server.during(t);
  const relay = await Relay.during(t, server, (broken) => (broken < 8 ? 10_000 + Math.floor(random() * 50_000) : Infinity));
  const bytes = randomBytes(5 * MIB);
  const { url } = await send(bytes, `${relay.origin}/files/`, { chunkSize: 64 * 1024 });
  const upload = at(server, url);
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
  assert.ok(relay.broken >= 3, `only ${relay.broken} were cut`);
});

test('three parts at a time, each cut again and again, become the file', async (t) => {
  const random = randomOf(seed);
  const server = await Server.during(t);
  const relay = await Relay.during(t, server, (broken) => (broken < 8 ? 10_000 + Math.floor(random() * MIB) : Infinity));
  const bytes = randomBytes(12 * MIB);
  const { url } = await send(bytes, `${relay.origin}/files/`, { parallelUploads: 3 });
  const upload = at(server, url);
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
  assert.ok(relay.broken >= 3, `only ${relay.broken} were cut`);
});

test('a server that is killed in the middle, twice, has what it said it had', async (t) => {
  const server = await Server.during(t);
  const relay = await Relay.during(t, server);
  const bytes = randomBytes(30 * MIB);
  let kills = 0;
  let killing = Promise.resolve();
  async function restart(upload, acknowledged) {
    await server.kill();
    await server.start();
    const offset = await upload.offset();
    assert.ok(offset >= acknowledged, `${offset} of ${acknowledged}`);
  }
  const sending = send(bytes, `${relay.origin}/files/`, {
    chunkSize: 2 * MIB,
    onChunkComplete(size, sent) {
      if (kills >= 2 || sent < (kills + 1) * 9 * MIB) return;
      kills++;
      killing = killing.then(() => restart(at(server, sending.url()), sent));
    },
  });
  const { url } = await sending;
  await killing;
  assert.equal(kills, 2);
  const upload = at(server, url);
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
});

test('a client that comes back does not wait for its old connection', async (t) => {
  const server = await Server.during(t);
  const bytes = randomBytes(3 * MIB);
  const upload = await TusUpload.create(server, { length: bytes.length });
  // The old connection is not ended: nothing more comes.
  const old = upload.hang(0, bytes.subarray(0, MIB), bytes.length);
  await old.sent;
  await waitFor(() => upload.receiving() > 0, 'bytes to come');
  const begin = Date.now();
  const offset = await upload.offset();
  assert.ok(Date.now() - begin < 20_000, 'it waited for the old connection');
  assert.equal(await old.answered, 423);
  await upload.send(offset, bytes.subarray(offset));
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
});

test('of three that send at once, all end, and the bytes are right', async (t) => {
  const server = await Server.during(t);
  const bytes = randomBytes(20 * MIB);
  const upload = await TusUpload.create(server, { length: bytes.length });
  const options = { uploadUrl: new URL(upload.location, server.origin).href, chunkSize: MIB };
  await Promise.all([1, 2, 3].map(() => send(bytes, undefined, options)));
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
});

test('a long request counts every so many bytes, and when the server ends', async (t) => {
  const server = await Server.during(t);
  const bytes = randomBytes(150 * MIB);
  const upload = await TusUpload.create(server, { length: bytes.length });
  const killed = upload.hang(0, bytes.subarray(0, 70 * MIB), bytes.length);
  await waitFor(() => upload.stored().length >= 64 * MIB && upload.receiving() > 0, 'the first piece to count');
  await server.kill();
  await killed.answered;
  await server.start();
  const first = await upload.offset();
  assert.ok(first >= 64 * MIB && first <= 70 * MIB, String(first));

  const ended = upload.hang(first, bytes.subarray(first, first + MIB), bytes.length - first);
  await waitFor(() => upload.receiving() > 0, 'bytes to come');
  const begin = Date.now();
  await server.stop();
  t.diagnostic(`the server ended in ${Date.now() - begin} ms`);
  await ended.answered;
  await server.start();
  const second = await upload.offset();
  assert.ok(second > first && second <= first + MIB, String(second));
  assert.deepEqual(upload.stored(), bytes.subarray(0, second));

  await upload.send(second, bytes.subarray(second));
  await failed(upload);
  assert.equal(digest(upload.stored()), digest(bytes));
});

test('an upload that broke off between its last byte and its assembly is assembled', async (t) => {
  const server = await Server.during(t, { args: ['--preset', 'fast'] });
  const bytes = await clipBytes({ seconds: 1 });
  const uploads = [];
  for (const how of ['restart', 'HEAD']) {
    const upload = await TusUpload.create(server, { length: bytes.length });
    uploads.push(upload);
    await upload.send(0, bytes.subarray(0, -1));
    if (how === 'restart') await server.kill();
    // As if the last piece had been added, and then nothing more was done.
    const part = readdirSync(upload.folder).find((name) => name.endsWith('.part'));
    writeFileSync(path.join(upload.folder, '000000'), bytes);
    rmSync(path.join(upload.folder, part));
    if (how === 'restart') await server.start();
    else assert.equal(await upload.offset(), bytes.length);
    await waitFor(async () => (await upload.job()).state === 'completed', `the job to complete after a ${how}`);
  }
});
