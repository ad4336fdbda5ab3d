// HLS goes to a storage while it is being made, and is played from there. The storage is a
// folder here, which is asked the same as a bucket.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clip } from '../support/clips.mjs';
import { Relay } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { goOn, hold, paced } from '../support/pace.mjs';
import { Redis } from '../support/redis-server.mjs';
import { Server, signalAll, temporaryFolder } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';
import { Worker } from '../support/worker.mjs';

const SECONDS = 30;
const SECRET = { JWT_SECRET: 'shared among all of the servers of this fleet' };
const SLOW = ['--preset', 'slow']; // so that it can be interrupted

function bucket(t) {
  const folder = temporaryFolder('reelay-bucket-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, args: ['--storage', `file://${folder}`] };
}

// Keys of all objects.
function keys({ folder }, below = '') {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .filter((key) => !key.startsWith('.reelay') && key.startsWith(below))
    .sort();
}

const segments = (storage) => keys(storage, 'videos/').filter((key) => /\/s\d+\.m4s$/.test(key));

async function begin(server, options) {
  const upload = await Upload.create(server, options);
  await upload.putAll();
  return upload.assemble();
}

const long = async (server) =>
  begin(server, { bytes: readFileSync(await clip({ seconds: SECONDS, size: '640x480', rate: 15 })) });

// In the middle of what `node` converts: so many are there, and others are still to come.
const someSegments = (storage, node, count) =>
  paced(node, () => waitFor(() => segments(storage).length >= count, 'segments in the storage', { timeout: 120_000, every: 5 }));

// Only what is published of it is there.
async function leavesOnlyItsTree(storage, upload, job) {
  const others = () => keys(storage).filter((key) => !job || !key.startsWith(`${job.hls_path}/`));
  await waitFor(() => others().length === 0, () => `nothing besides ${job?.hls_path}: ${others().slice(0, 5)}`);
}

test('segments are there before the conversion ends, the master playlist when all is', async (t) => {
  const storage = bucket(t);
  const server = await Server.during(t, { args: [...storage.args, ...SLOW] });
  const upload = await long(server);
  await someSegments(storage, server, 4);
  const held = hold(server);
  assert.ok(held.length > 0, 'the conversion was over too soon');
  assert.equal((await upload.job()).state, 'processing');
  assert.deepEqual(keys(storage).filter((key) => key.endsWith('.m3u8')), []);
  goOn(held);
  const job = await upload.complete();
  assert.equal(job.storage_provider ?? job.storageProvider ?? 'disk', 'disk');
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(storage, upload, job);
  assert.ok(!existsSync(path.join(server.dataDir, 'media', job.hls_path)));
  const sizes = keys(storage).reduce((sum, key) => sum + statSync(path.join(storage.folder, key)).size, 0);
  assert.equal(sizes, job.result.size);
});

test('a cancelled job leaves nothing in the storage', async (t) => {
  const storage = bucket(t);
  const server = await Server.during(t, { args: [...storage.args, ...SLOW] });
  const upload = await long(server);
  await someSegments(storage, server, 4);
  const answer = await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', headers: { Authorization: `Bearer ${upload.token}` } });
  assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
  await upload.reach('cancelled');
  await leavesOnlyItsTree(storage, upload);
});

test('a server that is cut down goes on under the same key', async (t) => {
  const storage = bucket(t);
  const server = await Server.during(t, { args: [...storage.args, ...SLOW] });
  const upload = await long(server);
  await someSegments(storage, server, 6);
  const [mine] = segments(storage);
  await server.kill();
  await server.start();
  const job = await upload.complete();
  assert.ok(mine.startsWith(job.hls_path));
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(storage, upload, job);
});

// A server, and workers that each have a folder of their own.
async function fleet(t) {
  const storage = bucket(t);
  const redis = await Redis.during(t);
  const server = await Server.during(t, { args: ['--engine', redis.url, ...storage.args], env: SECRET });
  await waitFor(() => server.log.includes('event=redis_up'), 'the server to reach Redis');
  const worker = (way = redis, ...args) => {
    const dataDir = temporaryFolder();
    t.after(() => rmSync(dataDir, { recursive: true, force: true }));
    return Worker.during(t, { redis: way, dataDir, args: ['--lease', '1s', ...SLOW, ...storage.args, ...args] });
  };
  return { redis, storage, server, worker };
}

test('nodes with folders of their own: whoever takes over publishes under another key', async (t) => {
  const { storage, server, worker } = await fleet(t);
  const first = await worker();
  const upload = await long(server);
  await someSegments(storage, first, 4);
  const [mine] = segments(storage);
  await first.kill();
  await worker();
  const job = await upload.complete();
  assert.ok(!mine.startsWith(job.hls_path));
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(storage, upload, job);
});

test('a worker that was only stopped sends to where nobody looks, and clears that away', async (t) => {
  const { storage, server, worker } = await fleet(t);
  const first = await worker();
  const upload = await long(server);
  await someSegments(storage, first, 4);
  first.signal('SIGSTOP');
  const second = await worker();
  await second.said('job_claimed', `job=${upload.id}`);
  const job = await upload.complete();
  await leavesOnlyItsTree(storage, upload, job);
  first.signal('SIGCONT');
  await first.said('job_(lost|retried)', `job=${upload.id}`); // retried: it was still for longer than an ffmpeg may be
  await verify(server, job, SECONDS);
  await first.stop();
  await leavesOnlyItsTree(storage, upload, job);
  const left = readdirSync(first.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && (entry.parentPath ?? entry.path).includes('/work/'));
  assert.deepEqual(left.map(({ name }) => name), []);
});

test('a worker that fails when another one has its job already clears away what it sent', async (t) => {
  const { redis, storage, server, worker } = await fleet(t);
  const way = await Relay.during(t, redis);
  const first = await worker(way, '--stall-timeout', '10m'); // its ffmpeg stands still for as long as another one needs
  const ffmpegs = () => first.children('ffmpeg').map(({ pid }) => pid);
  const upload = await long(server);
  await someSegments(storage, first, 4);
  const held = hold(first);
  assert.ok(held.length > 0, 'the conversion was over too soon');
  way.cut();
  await worker();
  const job = await upload.complete();
  await leavesOnlyItsTree(storage, upload, job);
  goOn(held); // it knows of nothing
  await paced(first, () => waitFor(() => segments(storage).some((key) => !key.startsWith(job.hls_path)), 'it to go on'));
  await waitFor(() => {
    signalAll(ffmpegs(), 'SIGKILL');
    return first.log.includes('event=job_retried');
  }, 'it to fail');
  way.heal();
  await leavesOnlyItsTree(storage, upload, job);
  await verify(server, job, SECONDS);
});
