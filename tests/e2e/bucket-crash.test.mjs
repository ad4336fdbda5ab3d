// Assembly in a bucket, by servers that die between any two requests to it, and by
// several nodes that share nothing but it and a Redis.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { startSwift, through } from '../support/buckets.mjs';
import { bulkyClip } from '../support/clips.mjs';
import { Direct, MiB, nothingRemains } from '../support/direct.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { FleetRedis, LEASE, Node, Worker } from '../support/fleet.mjs';
import { Server, temporaryFolder } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 8;
const SECRET = 'a secret of at least thirty-two bytes';

let swift;
let large;

before(async () => {
  swift = await startSwift();
  large = readFileSync(await bulkyClip());
});
after(() => swift?.stop());

const isOf = (id) => ({ path }) => new RegExp(`uploads(%2F|/)${id}\\b`, 'i').test(path);

// Dies at the request number `at` that is made for the upload once it is assembled.
async function dies(t, server, relay, upload, at) {
  let seen = 0;
  let dead;
  relay.before = async (asked) => {
    if (!isOf(upload.id)(asked) || ++seen !== at) return !dead;
    dead = server.kill();
    return false;
  };
  await upload.tryAssemble().catch(() => {});
  const job = await waitFor(async () => {
    if (dead) return { state: 'dead' };
    const now = await upload.job().catch(() => undefined);
    return now?.state === 'completed' || now?.state === 'failed' ? now : undefined;
  }, 'the end of the job, or of the server', { timeout: 60_000 });
  relay.before = null;
  await dead;
  return { job, seen };
}

async function diesAnywhere(t, makeChunks) {
  const relay = await faultyBefore(t, swift);
  const bucket = { ...swift, endpoint: relay.origin };
  const args = ['--storage', through(swift.url, swift, relay.origin), '--preset', 'ultrafast'];
  const server = await Server.during(t, { args });
  const requests = [];
  for (let at = 1; ; at++) {
    const upload = await makeChunks(server, bucket);
    const { job, seen } = await dies(t, server, relay, upload, at);
    if (job.state === 'completed') break;
    assert.equal(job.state, 'dead', `${at}: ${JSON.stringify(job)}`);
    requests.push(seen);
    await server.start();
    // It may have died before the assembly was on record.
    const again = await upload.tryAssemble();
    assert.ok([202, 409].includes(again.status), again.text);
    const end = await upload.reach('completed', 'failed');
    assert.equal(end.state, 'completed', `at request ${at}: ${JSON.stringify(end)}`);
    assert.ok(Math.abs(end.result.duration - SECONDS) < 0.6);
    await nothingRemains(swift, upload);
  }
  t.diagnostic(`died at each of ${requests.length} requests`);
  assert.ok(requests.length >= 8, `${requests.length} requests are too few`);
}

test('it dies at any request while it makes one object of parts and objects', { timeout: 400_000 }, (t) =>
  diesAnywhere(t, async (server, bucket) => {
    const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 6 * MiB });
    const urls = [];
    for (const index of upload.indexes) urls.push(await upload.url(index));
    for (const index of upload.indexes) await upload.putTo(urls[index], upload.chunk(index));
    return upload;
  }));

test('it dies at any request while it fetches small objects', { timeout: 400_000 }, (t) =>
  diesAnywhere(t, async (server, bucket) => {
    const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 4 * MiB });
    await upload.putAll();
    return upload;
  }));

test('of several nodes each has a folder of its own', { timeout: 240_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const shared = { engine: redis.url, env: { REELAY_JWT_SECRET: SECRET } };
  const args = ['--storage', swift.url];
  const serve = async () => {
    const node = new Node({ ...shared, args });
    t.after(() => node.end());
    await node.start();
    await node.ready();
    return node;
  };
  const folders = [];
  const worker = async () => {
    const folder = temporaryFolder('reelay-scratch-');
    folders.push(folder);
    const one = new Worker({ ...shared, dataDir: folder, args: [...args, '--lease', `${LEASE / 1000}s`, '--preset', 'fast'] });
    t.after(() => one.end());
    await one.start();
    return one;
  };
  t.after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
  const [a, b] = [await serve(), await serve()];
  const workers = [await worker(), await worker()];

  // Two who ask at once, of two nodes, and one multipart upload.
  const upload = await Direct.create(a, { bytes: large, swift, size: 6 * MiB, declares: true });
  const there = new Direct(b, { ...upload, server: b });
  const urls = await Promise.all(upload.indexes.map((index) => (index % 2 ? there : upload).url(index)));
  const ids = new Set(urls.map((url) => new URL(url).searchParams.get('uploadId')));
  assert.equal(ids.size, 1, [...ids].join(' '));
  await Promise.all(upload.indexes.map((index) => upload.putTo(urls[index], upload.chunk(index))));
  assert.deepEqual((await there.status()).chunks.map(({ index }) => index), upload.indexes);
  await there.assemble();
  const job = await upload.complete();
  assert.ok(Math.abs(job.result.duration - SECONDS) < 0.6);
  await nothingRemains(swift, upload);

  // Its worker dies in the middle: the other one fetches the source again.
  for (const size of [6 * MiB, 1 * MiB]) {
    const next = await Direct.create(a, { bytes: large, swift, size });
    await next.putAll();
    await next.assemble();
    const first = await waitFor(() => workers.find((one) => one.exit === null && one.stops()), 'a worker to run ffmpeg', { every: 10 });
    await first.kill();
    const end = await next.complete();
    assert.ok(Math.abs(end.result.duration - SECONDS) < 0.6);
    await nothingRemains(swift, next);
    await first.start();
  }
});
