// Resumable uploads into a bucket: at one server, and at nodes that share nothing but
// Redis and the bucket.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { startSwift, through } from '../support/buckets.mjs';
import { bulkyClip, clipBytes } from '../support/clips.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { FleetRedis, Node, Worker } from '../support/fleet.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { require } from '../support/packages.mjs';
import { Server, temporaryFolder } from '../support/server.mjs';
import { Relay, TusUpload, tus as ask } from '../support/tus.mjs';
import { randomOf, seed, waitFor, within } from '../support/wait.mjs';

const tus = require('tus-js-client');
const MIB = 1024 * 1024;

let swift;
before(async () => {
  swift = await startSwift();
});
after(() => swift?.stop());

const bucketArgs = () => ['--storage', swift.url, '--preset', 'ultrafast'];
const at = (upload, server) => new TusUpload(server, upload.location, upload.token);

test('pieces of any size become a video in the bucket, over cut connections and a killed server', { timeout: 180_000 }, async (t) => {
  const random = randomOf(seed);
  const server = await Server.during(t, { args: bucketArgs() });
  const relay = await Relay.during(t, server, (broken) => (broken < 8 ? MIB / 4 + Math.floor(random() * 3 * MIB) : Infinity));
  const bytes = readFileSync(await bulkyClip());
  let killing;
  const url = await within(new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint: `${relay.origin}/files/`,
      retryDelays: Array(1000).fill(50), // longer than any server takes to come back
      chunkSize: 5 * MIB,
      onChunkComplete(size, sent) {
        killing ??= server.kill().then(() => server.start()).then(async () => {
          const answer = await ask(server, 'HEAD', new URL(upload.url).pathname);
          assert.ok(Number(answer.headers['upload-offset']) >= sent);
        });
      },
      onSuccess: () => resolve(upload.url),
      onError: reject,
    });
    upload.start();
  }), 'the end of the upload', 120_000);
  await killing;
  assert.ok(relay.broken > 0);
  await new TusUpload(server, new URL(url).pathname).complete();
  assert.equal(await new TusUpload(server, new URL(url).pathname).offset(), bytes.length);
});

test('parts that are sent side by side become a video there, and are gone', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, { args: bucketArgs() });
  const options = await server.request('/files/', { method: 'OPTIONS' });
  assert.ok(options.headers['tus-extension'].includes('concatenation'));
  const bytes = readFileSync(await bulkyClip());
  const made = [];
  const url = await within(new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint: `${server.origin}/files/`,
      parallelUploads: 3,
      chunkSize: 3 * MIB,
      onAfterResponse(request, response) {
        if (request.getMethod() === 'POST') made.push(response.getHeader('Location'));
      },
      onSuccess: () => resolve(upload.url),
      onError: reject,
    });
    upload.start();
  }), 'the end of the upload', 120_000);
  const final = new TusUpload(server, new URL(url).pathname);
  await final.complete();
  assert.equal(await final.offset(), bytes.length);
  assert.equal(made.length, 4);
  for (const part of made.slice(0, 3)) assert.equal((await ask(server, 'HEAD', part)).status, 404);
});

test('a piece with another checksum does not count there, and what is terminated is gone', async (t) => {
  const server = await Server.during(t, { args: bucketArgs() });
  const upload = await TusUpload.create(server, { length: 10 });
  await upload.send(0, 'abc');
  const wrong = await upload.patch(3, 'x', { 'upload-checksum': 'md5 XrY7u+Ae7tCTyyK7j1rNww==' });
  assert.equal(wrong.status, 460);
  assert.equal(await upload.offset(), 3);
  assert.equal((await upload.ask('DELETE')).status, 204);
  assert.equal((await upload.head()).status, 410);
});

test('who sends pieces that would be too many hears early how large they must be', async (t) => {
  const server = await Server.during(t, { args: bucketArgs() });
  const upload = await TusUpload.create(server, { length: 1_000_000 });
  for (let offset = 0; offset < 64 * 5; offset += 5) await upload.send(offset, 'abcde');
  const refused = await upload.patch(320, 'abcde');
  assert.equal(refused.status, 413);
  assert.equal(refused.json.error.code, 'too_many');
  const least = Number(/send (\d+) bytes/.exec(refused.json.error.message)[1]);
  assert.equal(least, Math.floor((1_000_000 - 320) / (10_000 - 64)) + 1);
  await upload.send(320, 'x'.repeat(least));
});

test('an upload goes on at a node that shares only Redis and the bucket', { timeout: 180_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const folders = [1, 2, 3].map(() => temporaryFolder('reelay-tus-'));
  t.after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
  const options = (i) => ({ engine: redis.url, dataDir: folders[i], args: bucketArgs(), env: withSecret });
  const [a, b] = [new Node(options(0)), new Node(options(1))];
  const worker = new Worker(options(2));
  for (const node of [a, b, worker]) {
    t.after(() => node.end());
    await node.start();
  }
  for (const node of [a, b]) await node.ready();
  const bytes = await clipBytes({ seconds: 2 });
  const upload = await TusUpload.create(a, { headers: { 'upload-defer-length': 1 }, token: mint() });
  const there = at(upload, b);
  await upload.send(0, bytes.subarray(0, 10_000));
  await there.send(10_000, bytes.subarray(10_000, 20_000), { 'upload-length': bytes.length });
  assert.equal(await upload.offset(), 20_000);
  // Both at once: one adds it, the other hears that it was another.
  for (let offset = 20_000; offset < 50_000; offset += 10_000) {
    const piece = bytes.subarray(offset, offset + 10_000);
    const answers = await Promise.all([upload, there].map((one) => one.patch(offset, piece)));
    const statuses = answers.map(({ status }) => status).sort();
    assert.equal(statuses[0], 204);
    assert.ok([409, 423].includes(statuses[1]), String(statuses));
    assert.equal(await upload.offset(), offset + 10_000);
  }
  await there.send(50_000, bytes.subarray(50_000));
  await upload.complete();
  assert.equal(await upload.offset(), bytes.length);
});

// A relay before the bucket that holds the first request that `isMeant`, and says when it
// has come.
async function holding(t, isMeant) {
  const relay = await faultyBefore(t, swift);
  const held = new Promise((resolve) => {
    relay.before = async (request) => {
      if (!isMeant(request)) return;
      relay.before = null;
      resolve();
      await new Promise(() => {});
    };
  });
  return { held, args: ['--storage', through(swift.url, swift, relay.origin), '--preset', 'ultrafast'] };
}

// The last bytes are stored, and then what is asked of the bucket next.
function behindChunk(index) {
  let isThere = false;
  return ({ method, path }) => {
    if (method === 'PUT' && path.includes(`/chunks/${index}`)) isThere = true;
    return isThere && method === 'GET';
  };
}

test('a server that is killed behind the last byte makes the video when it is back', { timeout: 180_000 }, async (t) => {
  const { held, args } = await holding(t, behindChunk('000001'));
  const server = await Server.during(t, { args: [...args, '--upload-ttl', '50s'] });
  const bytes = await clipBytes({ seconds: 2 });
  const upload = await TusUpload.create(server, { length: bytes.length });
  await upload.send(0, bytes.subarray(0, 10_000));
  const unheard = upload.patch(10_000, bytes.subarray(10_000)).catch(() => null);
  await within(held, 'the last bytes to be stored');
  await server.kill();
  assert.equal(await unheard, null);
  await server.start();
  await upload.complete();
});

test('another node takes up what a killed one had the last byte of', { timeout: 180_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const folders = [1, 2, 3].map(() => temporaryFolder('reelay-tus-'));
  t.after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
  const { held, args } = await holding(t, behindChunk('000001'));
  const a = new Node({ engine: redis.url, dataDir: folders[0], args, env: withSecret });
  const b = new Node({ engine: redis.url, dataDir: folders[1], args: [...args, '--upload-ttl', '50s'], env: withSecret });
  const worker = new Worker({ engine: redis.url, dataDir: folders[2], args, env: withSecret });
  for (const node of [a, b, worker]) {
    t.after(() => node.end());
    await node.start();
  }
  for (const node of [a, b]) await node.ready();
  const bytes = await clipBytes({ seconds: 2 });
  const upload = await TusUpload.create(a, { length: bytes.length, token: mint() });
  await upload.send(0, bytes.subarray(0, 10_000));
  upload.patch(10_000, bytes.subarray(10_000)).catch(() => null);
  await within(held, 'the last bytes to be stored');
  await a.kill();
  await at(upload, b).complete();
});

test('a node that stores keeps others away, and for a moment when it is killed', { timeout: 180_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const folders = [1, 2].map(() => temporaryFolder('reelay-tus-'));
  t.after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
  const { held, args } = await holding(t, ({ method, path }) => method === 'PUT' && path.includes('/chunks/000001'));
  const a = new Node({ engine: redis.url, dataDir: folders[0], args, env: withSecret });
  const b = new Node({ engine: redis.url, dataDir: folders[1], args, env: withSecret });
  for (const node of [a, b]) {
    t.after(() => node.end());
    await node.start();
  }
  for (const node of [a, b]) await node.ready();
  const upload = await TusUpload.create(a, { length: 1000, token: mint() });
  const there = at(upload, b);
  await upload.send(0, 'abc');
  upload.patch(3, 'def').catch(() => null);
  await within(held, 'the piece to be on its way');
  const place = () => redis.cli('hget', `{reelay}:job:${upload.id}`, 'place');
  const first = await place();
  // Several times it says that it is there still.
  for (let seen = first, times = 0; times < 5; times++) {
    seen = await waitFor(async () => ((await place()) !== seen ? place() : false), 'the claim to be renewed', { timeout: 15_000 });
    assert.equal((await there.patch(3, 'xyz')).status, 423);
  }
  await a.kill();
  const killed = Date.now();
  await waitFor(async () => (await there.patch(3, 'xyz')).status === 204, 'the other to be let in', { timeout: 40_000 });
  assert.ok(Date.now() - killed < 30_000);
  assert.equal(await there.offset(), 6);
});
