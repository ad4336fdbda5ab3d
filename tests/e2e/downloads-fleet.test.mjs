// Downloads where several nodes share a Redis, and where files go to a bucket.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { startSwift, through } from '../support/buckets.mjs';
import { clipBytes } from '../support/clips.mjs';
import { ALLOW, ask, completed, digest, ended, isMonotone, isSame, nothingLeft, padded } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { request } from '../support/http.mjs';
import { Redis } from '../support/redis-server.mjs';
import { Server, temporaryFolder } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';
import { Worker } from '../support/worker.mjs';

const MiB = 1024 * 1024;
const LEASE = '3s'; // not to be lost by a moment without the processor

async function fleet(t, { args = [], doors = [], env = {}, workers = 1, isShared = true } = {}) {
  const redis = await Redis.during(t);
  const dataDir = temporaryFolder();
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const server = await Server.during(t, { args: ['--engine', redis.url, ...ALLOW, ...args, ...doors], env, dataDir });
  await waitFor(async () => (await server.get('/ready')).status === 200, 'the server to be ready');
  const all = [];
  for (let i = 0; i < workers; i++) {
    const folder = isShared ? dataDir : temporaryFolder();
    if (!isShared) t.after(() => rmSync(folder, { recursive: true, force: true }));
    all.push(await Worker.during(t, { redis, dataDir: folder, args: ['--lease', LEASE, ...ALLOW, ...args], env }));
  }
  return { redis, server, workers: all };
}

// Whether it has a file of the job open.
const works = (worker, id) =>
  readdirSync(`/proc/${worker.pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${worker.pid}/fd/${fd}`).includes(id);
    } catch {
      return false;
    }
  });

test('a worker downloads what a server was asked for, and the bar is the same at every door', async (t) => {
  const { server } = await fleet(t);
  const there = await Elsewhere.during(t);
  const video = padded(await clipBytes(), 3 * MiB);
  const url = there.put('/v.mp4', video, { hold: MiB });
  const all = await server.watchAll();
  const id = await ask(server, { url });
  const watcher = await server.watchDownload(id);
  await all.until((m) => m.video_id === id && m.downloaded_bytes >= MiB && m.total_bytes === video.length, 'bytes');
  there.release('/v.mp4');
  const { data } = await watcher.until(ended, 'its end');
  assert.equal(data.status, 'completed', JSON.stringify(data));
  isMonotone(watcher.messages.map((m) => m.data.progress));
  await isSame(server, data, video);
  all.drop();
  watcher.drop();
});

test('another worker goes on where a killed one was', async (t) => {
  const { server, workers } = await fleet(t, { workers: 2 });
  const there = await Elsewhere.during(t);
  const video = padded(await clipBytes(), 6 * MiB);
  const url = there.put('/v.mp4', video, { hold: 4 * MiB });
  const id = await ask(server, { url });
  const all = await server.watchAll();
  await all.until((m) => m.video_id === id && m.downloaded_bytes >= 4 * MiB, 'four MiB');
  await workers.find((one) => works(one, id)).kill();
  const watcher = await server.watchDownload(id);
  const { data } = await watcher.until(ended, 'its end');
  assert.equal(data.status, 'completed', JSON.stringify(data));
  await isSame(server, data, video);
  const asked = there.asked('/v.mp4');
  assert.equal(asked.length, 2);
  assert.ok(Number(/^bytes=(\d+)-$/.exec(asked[1].range)[1]) > 3 * MiB, asked[1].range);
  all.drop();
  watcher.drop();
});

test('downloads keep no worker from converting, and a cancelled one ends', async (t) => {
  const { server } = await fleet(t, { args: ['--downloads', '1', '--conversions', '1'] });
  const there = await Elsewhere.during(t);
  const bytes = await clipBytes();
  const first = await ask(server, { url: there.put('/1.mp4', padded(bytes, MiB), { hold: 1000 }) });
  await waitFor(async () => (await server.job(first)).state === 'processing', 'the first to begin');
  const upload = await Upload.create(server, { bytes });
  await upload.putAll();
  await upload.assemble();
  await upload.complete();
  assert.equal((await server.job(first)).state, 'processing');
  const second = await ask(server, { url: there.put('/2.mp4', bytes) });
  assert.equal((await server.request(`/api/jobs/${first}`, { method: 'DELETE' })).status, 202);
  await waitFor(async () => (await server.job(first)).state === 'cancelled', 'the cancellation');
  await waitFor(async () => (await server.job(second)).state === 'completed', 'the second');
});

test('a file goes to the bucket, and its URL leads there', async (t) => {
  const swift = await startSwift();
  t.after(() => swift.stop());
  const server = await Server.during(t, { args: [...ALLOW, '--storage', swift.url] });
  const there = await Elsewhere.during(t);
  const video = padded(await clipBytes(), 12 * MiB);
  const { id, data, messages } = await completed(server, { url: there.put('/talk.mp4', video), title: 'Ein Vortrag über C' });
  isMonotone(messages.map((one) => one.progress));
  assert.equal(data.storageProvider, 's3');
  assert.equal(data.fileSize, video.length);
  const answer = await request(data.downloadUrl);
  assert.equal(answer.status, 200);
  assert.equal(digest(answer.body), digest(video));
  assert.match(new URL(data.downloadUrl).pathname, new RegExp(`/downloads/${id}-[0-9a-f]{16}/`));
  assert.match(answer.headers['content-disposition'] ?? '', /Vortrag/);
  assert.equal(answer.headers['content-type'], 'video/mp4');
});

// On its way into the bucket, which keeps the last parts waiting until `free`:
// { server, relay, free, id, watcher, video, there }.
async function sending(t) {
  const swift = await startSwift();
  t.after(() => swift.stop());
  const relay = await faultyBefore(t, swift);
  const server = await Server.during(t, { args: [...ALLOW, '--drain-timeout', '0s', '--storage', through(swift.url, swift, relay.origin)] });
  const there = await Elsewhere.during(t);
  const video = padded(await clipBytes(), 100 * MiB); // up to 64 there are no parts
  let parts = 0;
  const held = new Promise(() => {});
  relay.before = ({ method, path }) => method !== 'PUT' || !path.includes('partNumber=') || ++parts <= 2 || held;
  const free = () => { relay.before = null; };
  const id = await ask(server, { url: there.put('/v.mp4', video) });
  const watcher = await server.watchDownload(id);
  await watcher.until((m) => m.data.progress >= 93, 'bytes to go up', { timeout: 60_000 });
  return { server, relay, free, id, watcher, video, there };
}

test('a download is cancelled on its way into the bucket, and nothing is left', async (t) => {
  const { server, free, id, watcher } = await sending(t);
  assert.equal((await server.request(`/api/jobs/${id}`, { method: 'DELETE' })).status, 202);
  free();
  await watcher.until(ended, 'its end');
  assert.equal((await server.job(id)).state, 'cancelled');
  await nothingLeft(server, id);
  watcher.drop();
});

for (const [how, end] of [['killed', (server) => server.kill()], ['asked to end', (server) => server.stop()]])
  test(`a file goes into the bucket though the server was ${how}, and is not downloaded again`, async (t) => {
    const { server, free, id, video, there } = await sending(t);
    await end(server);
    free();
    await server.start();
    const watcher = await server.watchDownload(id);
    const { data } = await watcher.until(ended, 'its end');
    assert.equal(data.status, 'completed', JSON.stringify(data));
    isMonotone([93, ...watcher.messages.map((m) => m.data.progress)]);
    assert.equal(digest((await request(data.downloadUrl)).body), digest(video));
    assert.equal(there.asked('/v.mp4').length, 1);
    watcher.drop();
  });

test('HLS of a download goes to the bucket', async (t) => {
  const swift = await startSwift();
  t.after(() => swift.stop());
  const server = await Server.during(t, { args: [...ALLOW, '--storage', swift.url] });
  const there = await Elsewhere.during(t);
  const bytes = await clipBytes({ seconds: 4 });
  const { id } = await completed(server, { url: there.put('/v.mp4', bytes), hls: true });
  const job = await server.job(id);
  assert.match(job.hls_path, new RegExp(`^videos/hls/${id}-`));
  assert.equal(job.storage, 's3');
  const playlist = await server.get(`/${job.hls_path}/master.m3u8`);
  assert.equal(playlist.status, 200);
  assert.match(playlist.text, /#EXT-X-STREAM-INF/);
});

test('where only Redis and a bucket are shared another worker begins anew', async (t) => {
  const swift = await startSwift();
  t.after(() => swift.stop());
  const env = { JWT_SECRET: 'shared among all of the servers of this fleet' };
  const { server, workers } = await fleet(t, { args: ['--storage', swift.url], doors: ['--auth', 'off', '--insecure'], env, isShared: false });
  const there = await Elsewhere.during(t);
  const video = padded(await clipBytes(), 3 * MiB);
  const url = there.put('/v.mp4', video, { hold: 2 * MiB });
  const id = await ask(server, { url });
  const all = await server.watchAll();
  await all.until((m) => m.video_id === id && m.downloaded_bytes >= MiB, 'bytes');
  const folder = temporaryFolder();
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await workers[0].kill();
  await Worker.during(t, { redis: workers[0].redis, dataDir: folder, args: ['--lease', LEASE, ...ALLOW, '--storage', swift.url] });
  const watcher = await server.watchDownload(id);
  const { data } = await watcher.until(ended, 'its end', { timeout: 90_000 });
  assert.equal(data.status, 'completed', JSON.stringify(data));
  isMonotone(watcher.messages.map((m) => m.data.progress));
  assert.equal(digest((await request(data.downloadUrl)).body), digest(video));
  all.drop();
  watcher.drop();
});
