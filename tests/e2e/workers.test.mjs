// Servers take in, workers process: one Redis and one folder for all. Whatever becomes
// of a worker, the job ends well, once, and leaves what it should.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clip, clipBytes } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { paced } from '../support/pace.mjs';
import { Redis } from '../support/redis-server.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { randomOf, seed, waitFor } from '../support/wait.mjs';
import { Worker } from '../support/worker.mjs';

const LEASE = ['--lease', '1s'];
const SLOW = ['--preset', 'slow']; // so that it can be interrupted
const SECONDS = 30;

async function fleet(t, args = []) {
  const redis = await Redis.during(t);
  const server = await Server.during(t, { args: ['--engine', redis.url, ...args] });
  const worker = (more = []) => Worker.during(t, { redis, dataDir: server.dataDir, args: [...LEASE, ...more] });
  await waitFor(() => server.log.includes('event=redis_up'), 'the server to reach Redis');
  return { redis, server, worker };
}

async function begin(server, options) {
  const upload = await Upload.create(server, options);
  await upload.putAll();
  return upload.assemble();
}

const long = async (server) =>
  begin(server, { bytes: readFileSync(await clip({ seconds: SECONDS, size: '640x480', rate: 15 })) });

// All files below a folder, by their path in there.
function files(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)));
}

const scratch = (server, upload) => path.join(server.dataDir, 'work', String(upload.id));
const segments = (server, upload) => files(scratch(server, upload)).filter((name) => /\d+p\/s\d+\.m4s$/.test(name));

// In the middle of what a worker converts: so many are there, and others are still to come.
const someSegments = (node, server, upload, count = 4) => paced(node, () =>
  waitFor(() => segments(server, upload).length >= count, `${count} segments`, { timeout: 120_000, every: 5 }));

async function leavesOnlyItsTree(server, upload, job) {
  const left = () => ['uploads', 'work', 'media/videos/hls'].flatMap((folder) => {
    const full = path.join(server.dataDir, folder);
    return existsSync(full)
      ? readdirSync(full).filter((name) => name.startsWith(String(upload.id))).map((name) => `${folder}/${name}`) : [];
  });
  const expected = job ? [`media/${job.hls_path}`] : [];
  await waitFor(() => String(left()) === String(expected), () => `only ${expected} to be left of ${left()}`);
}

const works = async (redis) => (await redis.cli('keys', '{reelay}:job:*')).split('\n').filter(Boolean);
// The last thing of a job that goes.
const noWork = (redis) => waitFor(async () => (await works(redis)).length === 0, 'its work to be gone');

test('a worker processes what a server took in', async (t) => {
  const { redis, server, worker } = await fleet(t);
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 2 }), title: 'Shared' });
  const watcher = await upload.watch();
  await worker();
  const job = await upload.complete();
  await verify(server, job, 2);
  await watcher.until((message) => message.type === 'complete', 'the end');
  await leavesOnlyItsTree(server, upload, job);
  await noWork(redis);
});

test('a worker that is cut down is gone on from by another', async (t) => {
  const { server, worker } = await fleet(t);
  const first = await worker(SLOW);
  const upload = await long(server);
  await someSegments(first, server, upload, 6);
  await first.kill();
  const second = await worker(SLOW);
  const job = await upload.complete();
  assert.match(second.log, /event=job_claimed\b.*\bstep=convert\b.*\btakeover=1/);
  assert.match(second.log, /event=conversion_resumed/);
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(server, upload, job);
});

test('a worker that was only stopped, and its ffmpeg that was not, change nothing any more', async (t) => {
  const { server, worker } = await fleet(t);
  const first = await worker(SLOW);
  const upload = await long(server);
  await someSegments(first, server, upload);
  const writers = first.children('ffmpeg');
  assert.ok(writers.length > 0);
  first.signal('SIGSTOP');
  const [token] = readdirSync(scratch(server, upload));
  const second = await worker(SLOW);
  await second.said('job_claimed', `job=${upload.id}`);
  await waitFor(() => second.children('ffmpeg').length > 0, 'the second ffmpeg');
  assert.ok(!existsSync(path.join(scratch(server, upload), token)), 'the first one\'s folder is there');
  const job = await upload.complete();
  const tree = path.join(server.dataDir, 'media', job.hls_path);
  const state = () => files(tree).sort().map((name) => {
    const { ino, size, mtimeMs } = statSync(path.join(tree, name));
    return `${name} ${ino} ${size} ${mtimeMs}`;
  });
  await leavesOnlyItsTree(server, upload, job);
  const before = state();
  first.signal('SIGCONT');
  await first.said('job_(lost|retried)', `job=${upload.id}`); // retried: it was still for longer than an ffmpeg may be
  await waitFor(() => first.children('ffmpeg').length === 0, 'the first ffmpeg to end');
  await first.stop();
  assert.deepEqual(state(), before);
  assert.equal((await upload.job()).state, 'completed');
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(server, upload, job);
});

// At random moments, SEED=n repeats them: cut down, or stopped until another has gone on.
test('workers that are cut down and stopped again and again bring it to its end all the same', async (t) => {
  const random = randomOf(seed);
  const { server, worker } = await fleet(t);
  const args = ['--attempts', '100'];
  const nodes = [await worker(args), await worker(args)];
  for (let round = 0; round < 4; round++) {
    const upload = await begin(server, { bytes: await clipBytes({ seconds: 4, size: '640x360' }), chunks: 6 });
    const blows = 1 + Math.floor(random() * 4);
    for (let blow = 0; blow < blows; blow++) {
      const victim = Math.floor(random() * 2);
      await new Promise((resolve) => setTimeout(resolve, random() * 1500));
      if (random() < 0.5) {
        await nodes[victim].kill();
        await nodes[victim].start();
      } else {
        nodes[victim].signal('SIGSTOP');
        setTimeout(() => nodes[victim].signal('SIGCONT'), 1000 + random() * 2500).unref();
      }
    }
    const job = await upload.complete();
    await verify(server, job, 4);
    for (const node of nodes) node.signal('SIGCONT');
    await leavesOnlyItsTree(server, upload, job);
  }
});

test('a worker that is told to end gives back what it has, and another goes on at once', async (t) => {
  const { server, worker } = await fleet(t);
  const first = await worker([...SLOW, '--drain-timeout', '0s', '--lease', '10m']);
  const upload = await long(server);
  await someSegments(first, server, upload);
  await first.stop();
  const second = await worker([...SLOW, '--lease', '10m']);
  const job = await upload.complete();
  assert.match(second.log, /event=job_claimed\b.*\battempt=1\b.*\btakeover=0/);
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(server, upload, job);
});

test('what is no video fails at once and can be mended', async (t) => {
  const { redis, server, worker } = await fleet(t);
  const node = await worker();
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await Upload.create(server, { bytes, chunks: 2 });
  await upload.put(0, Buffer.alloc(upload.chunk(0).length, 'no video '));
  await upload.put(1);
  await upload.assemble();
  const failed = await upload.reach('failed');
  assert.match(failed.error, /this is (text, not a video|no video)/);
  await waitFor(async () => (await redis.cli('keys', '*')).includes(String(upload.id)), 'its record');
  await upload.put(0);
  await upload.assemble();
  const job = await upload.complete();
  await leavesOnlyItsTree(server, upload, job);
  assert.doesNotMatch(node.log, /event=job_retried/);
});

test('what fails by no fault of the input is tried again, and in the end given up', async (t) => {
  const { server, worker } = await fleet(t);
  const broken = await worker(['--attempts', '2', '--ffprobe', '/nonexistent/ffprobe']);
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await begin(server, { bytes, chunks: 2 });
  const failed = await upload.reach('failed');
  assert.match(failed.error, /\(after 2 attempts\)$/);
  await broken.stop();
  assert.equal(broken.log.match(/event=job_retried/g).length, 2);
  await worker();
  await upload.assemble();
  await leavesOnlyItsTree(server, upload, await upload.complete());
});

for (const moment of ['while it waits', 'while it is converted']) {
  test(`a job cancelled ${moment} leaves nothing behind`, async (t) => {
    const { redis, server, worker } = await fleet(t);
    const first = moment === 'while it waits' ? null : await worker(SLOW);
    const upload = await long(server);
    if (first) await someSegments(first, server, upload);
    const answer = await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.equal(answer.status, 202, answer.text);
    await upload.reach('cancelled');
    const node = first ?? await worker();
    await leavesOnlyItsTree(server, upload);
    await waitFor(() => node.children('ffmpeg').length === 0, 'ffmpeg to end');
    await noWork(redis);
    assert.equal((await upload.job()).state, 'cancelled');
  });
}

test('an upload that is still open is cancelled by the server alone', async (t) => {
  const { redis, server } = await fleet(t);
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 1 }), chunks: 2 });
  await upload.put(0);
  const answer = await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  assert.equal(answer.status, 202, answer.text);
  await upload.reach('cancelled');
  await leavesOnlyItsTree(server, upload);
  await noWork(redis);
});

test('a forgotten upload is swept away', async (t) => {
  const { redis, server } = await fleet(t, ['--upload-ttl', '5s']);
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 1 }), chunks: 2 });
  await upload.put(0);
  const failed = await upload.reach('failed');
  assert.match(failed.error, /never finished/);
  await leavesOnlyItsTree(server, upload);
  await noWork(redis);
});

test('a worker waits for a Redis that is not there yet', async (t) => {
  const { redis, server, worker } = await fleet(t);
  const isUp = () => server.log.lastIndexOf('event=redis_up') > server.log.lastIndexOf('event=redis_down');
  await redis.stop();
  await waitFor(() => !isUp(), 'the server to lose Redis');
  const node = await worker();
  await node.said('redis_down');
  await redis.start();
  await node.said('redis_up');
  await waitFor(isUp, 'the server to be back');
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 1 }) });
  await leavesOnlyItsTree(server, upload, await upload.complete());
});

test('a Redis that comes back without its memory costs nothing that a worker has', async (t) => {
  const { redis, server, worker } = await fleet(t);
  const node = await worker([...SLOW, '--lease', '10s']); // not to be lost by a moment without the processor
  const upload = await long(server);
  await someSegments(node, server, upload);
  await redis.stop();
  await node.said('redis_down');
  await redis.start();
  const job = await upload.complete();
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(server, upload, job);
  assert.doesNotMatch(node.log, /event=job_(lost|retried|failed)/);
});

test('a worker ends when it is told to, also without Redis, and leaves its work to the next', async (t) => {
  const { redis, server, worker } = await fleet(t);
  const first = await worker([...SLOW, '--drain-timeout', '1s']);
  const upload = await long(server);
  await someSegments(first, server, upload);
  redis.process.kill('SIGSTOP');
  await first.stop();
  assert.match(first.log, /event=not_given_back/);
  redis.process.kill('SIGCONT');
  await worker(SLOW);
  const job = await upload.complete();
  await verify(server, job, SECONDS);
  await leavesOnlyItsTree(server, upload, job);
});
