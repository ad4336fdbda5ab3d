// Workers that die, stand still or are asked to go, in the middle of a job: another
// one goes on, and those who watch notice nothing but a pause.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { Audience, Fleet, measure } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { grown, inodes, renditions, treeOf } from '../support/segments.mjs';
import { isAlive } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 24;

const kept = (worker) => Number(/event=conversion_resumed\b.*?\bsegments=(\d+)/.exec(worker.log)?.[1] ?? 0);

// A job in the middle of its conversion: so many segments are there, and no more come.
async function inTheMiddle(t, fleet, count, doors) {
  const upload = await fleet.upload({ seconds: SECONDS });
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token, doors);
  await upload.assemble();
  const holder = await fleet.holder();
  const tree = treeOf(fleet, upload);
  await holder.paced(() => grown(tree, count));
  return { upload, audience, holder, tree, other: fleet.workers.find((worker) => worker !== holder) };
}

function assertKept(fleet, job, before, count) {
  const tree = path.join(fleet.dataDir, 'media', job.hls_path);
  const after = inodes(tree);
  for (const rendition of renditions(tree)) {
    for (let at = 0; at < count; at++) {
      const name = `${rendition}/s${String(at).padStart(5, '0')}.m4s`;
      assert.equal(after.get(name), before.get(name), `${name} was made again`);
    }
  }
}

test('a worker is killed: the other one goes on from what there is', { timeout: 180_000 }, async (t) => {
  const lease = 6000;
  const fleet = await Fleet.during(t, { workerArgs: ['--lease', `${lease / 1000}s`] });
  const { upload, audience, holder, other, tree } = await inTheMiddle(t, fleet, 3);
  const ffmpegs = holder.freeze();
  let before;
  const took = await measure(t, 'taken over after kill -9', async () => {
    await holder.kill();
    await waitFor(() => !ffmpegs.some(isAlive), 'its ffmpeg to be gone with it');
    before = inodes(tree);
    await fleet.holder(holder);
  });
  assert.ok(took > lease / 3, `${took} ms: nobody can know so soon`);
  await audience.progress();
  const job = await upload.complete();
  assert.ok(kept(other) >= 2, other.log);
  assertKept(fleet, job, before, kept(other));
  await audience.end();
  await verify(fleet.b, job, SECONDS);
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
});

test('a job that kills its workers fails, and says so', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 3, workerArgs: ['--attempts', '2'] });
  const { upload, audience, holder } = await inTheMiddle(t, fleet, 1, ['stream', 'events', 'broadcast']);
  holder.freeze();
  await holder.kill();
  const second = await fleet.held(holder);
  await second.kill();
  const job = await upload.reach('completed', 'failed');
  assert.equal(job.state, 'failed');
  assert.notEqual(job.error ?? '', '');
  t.diagnostic(`it says: ${job.error}`);
  await audience.end('failed');
});

test('a worker that stood still finds its job taken, and leaves it alone', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { upload, audience, holder, other } = await inTheMiddle(t, fleet, 2);
  const ffmpegs = holder.ffmpegs.map(({ pid }) => pid);
  process.kill(holder.pid, 'SIGSTOP');
  await measure(t, 'taken over after SIGSTOP', () => fleet.holder(holder));
  const job = await upload.complete();
  await audience.end();
  await verify(fleet.a, job, SECONDS);
  const tree = fleet.published(job);
  process.kill(holder.pid, 'SIGCONT');
  await waitFor(() => !ffmpegs.some(isAlive), 'its ffmpeg to be gone');
  // It is itself again: it takes another job, all alone.
  await other.stop();
  const next = await fleet.upload({ seconds: 2, chunks: 1 });
  await next.assemble();
  await verify(fleet.b, await next.complete(), 2);
  assert.deepEqual(await upload.job(), job);
  assert.deepEqual(fleet.published(job), tree);
  await audience.end();
});

test('a worker that is asked to end gives its job to the other at once', { timeout: 120_000 }, async (t) => {
  const lease = 30_000;
  const fleet = await Fleet.during(t, { workers: 0 });
  const args = ['--lease', `${lease / 1000}s`, '--drain-timeout', '100ms'];
  await fleet.worker({ args });
  await fleet.worker({ args });
  const { upload, audience, holder } = await inTheMiddle(t, fleet, 2);
  const took = await measure(t, 'taken over after SIGTERM', async () => {
    await Promise.all([holder.stop(), fleet.holder(holder)]);
  });
  assert.ok(took < lease / 2, `${took} ms`);
  await verify(fleet.a, await upload.complete(), SECONDS);
  await audience.end();
});

test('a job is cancelled at a node while a worker converts it', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { upload, audience, holder } = await inTheMiddle(t, fleet, 1);
  const ffmpegs = holder.ffmpegs.map(({ pid }) => pid);
  await measure(t, 'cancelled', async () => {
    const answer = await fleet.b.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.equal(answer.status, 202, answer.text);
    await upload.reach('cancelled');
  });
  await audience.end('failed');
  await waitFor(() => !ffmpegs.some(isAlive), 'ffmpeg to be gone');
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
});

test('a job that waits for a worker can be cancelled', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  await upload.assemble();
  const answer = await fleet.b.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  assert.equal(answer.status, 202, answer.text);
  await fleet.worker();
  await upload.reach('cancelled');
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
});
