// Two that serve and two that work on a Redis of several servers, of which one is killed
// in the middle of a conversion: behind Sentinels, and in a cluster.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Conversion } from '../support/conversion.mjs';
import { Audience, Fleet, areListening, measure } from '../support/fleet.mjs';
import { Cluster, Sentinels } from '../support/redis-many.mjs';

const SECONDS = 24;

// The same for every server that may be lost: `key` is of what only it knows.
async function survive(t, fleet, key) {
  const conversion = await Conversion.begin(t, fleet, SECONDS, 2);
  const { upload, audience, holder } = conversion;
  holder.freeze();
  const began = Date.now();
  const comeBack = await fleet.redis.failOver(key(upload.id));
  t.diagnostic(`another one has taken over: ${Date.now() - began} ms`);
  await measure(t, 'ready behind that', () => Promise.all(fleet.serves.map((node) => node.ready())));
  for (const worker of fleet.workers) worker.thaw();
  holder.thaw();
  await measure(t, 'progress', () => audience.progress());
  await conversion.end();
  await comeBack();
}

test('the primary behind Sentinels is killed in the middle of a conversion, twice', { timeout: 240_000 }, async (t) => {
  const fleet = await Fleet.during(t, { redis: await Sentinels.during(t) });
  await survive(t, fleet, () => '');
  await survive(t, fleet, () => '');
});

test('primaries of a cluster are killed in the middle of a conversion', { timeout: 360_000 }, async (t) => {
  const fleet = await Fleet.during(t, { redis: await Cluster.during(t) });
  await t.test('the one that has the job', () => survive(t, fleet, (id) => `job_status:${id}`));
  await t.test('the one that has the work', () => survive(t, fleet, () => '{reelay}:wake'));
});

const message = (job, progress, rest = {}) => JSON.stringify({
  job_id: job, status: 'processing', stage: 'rendering', progress, message: `at ${progress}`, ...rest,
});

test('foreign reports at any server of a cluster are heard at every node', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0, redis: await Cluster.during(t) });
  const token = await fleet.a.token();
  for (const id of ['one', 'two', 'three']) {
    const audience = await Audience.during(t, [[fleet.a], [fleet.b]], id, token);
    await areListening(fleet.redis.all, id);
    for (const [at, server] of fleet.redis.all.entries()) {
      await server.cli('publish', `job_progress:${id}`, message(id, (at + 1) / 10));
      await audience.heard(at + 1);
    }
    const said = message(id, 1, { status: 'completed', stage: 'complete' });
    await fleet.redis.cli('setex', `job_status:${id}`, '3600', said);
    await fleet.redis.all[5].cli('publish', `job_progress:${id}`, said);
    await audience.end();
    for (const viewer of audience.viewers) assert.equal(viewer.heard.length, 7, viewer.told());
  }
});
