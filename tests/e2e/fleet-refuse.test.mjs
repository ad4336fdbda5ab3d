// Redis is there, but full, or emptied while everybody is connected: jobs go on, and
// whoever watches hears the end, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Audience, Fleet } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { grown, treeOf } from '../support/segments.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 24;
// Long enough for no holder to be late by itself.
const LEASE = 6000;
const begun = (t) => Fleet.during(t, { workerArgs: ['--lease', `${LEASE / 1000}s`] });

async function begin(t, fleet) {
  const upload = await fleet.upload({ seconds: SECONDS });
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token);
  await upload.assemble();
  const holder = await fleet.holder();
  await holder.paced(() => grown(treeOf(fleet, upload), 2));
  await holder.paced(() => audience.progress());
  return { upload, audience, holder };
}

async function finish(fleet, { upload, audience, holder }) {
  const job = await upload.complete();
  await audience.end();
  for (const node of fleet.serves) await verify(node, job, SECONDS);
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
  for (const worker of fleet.workers) assert.doesNotMatch(worker.log, /event=job_lost/);
  assert.equal(fleet.workers.filter(({ log }) => /event=job_claimed/.test(log)).length, 1);
  return holder;
}

test('Redis is full for longer than a lease: its holder keeps the job', { timeout: 180_000 }, async (t) => {
  const fleet = await begun(t);
  const work = await begin(t, fleet);
  work.holder.freeze();
  await fleet.redis.cli('config', 'set', 'maxmemory', '1');
  fleet.a.post('/api/jobs/other/progress', { status: 'processing', progress: 0.5 }, await fleet.a.token()).catch(() => {});
  const health = async () => (await fleet.a.get('/health')).json;
  await waitFor(async () => (await health()).redis.status === 'refusing', 'it to be told of');
  const { status, redis } = await health();
  assert.equal(status, 'degraded');
  assert.match(redis.why, /^OOM /);
  // Nobody can take it over while Redis is full; the lease must hold also behind that.
  const began = Date.now();
  await waitFor(() => Date.now() - began > 2 * LEASE, 'two leases');
  await fleet.redis.cli('config', 'set', 'maxmemory', '0');
  work.holder.thaw();
  await finish(fleet, work);
  await waitFor(async () => (await health()).redis.status === 'up', 'it to be well again');
});

test('everything is deleted from Redis in the middle of a conversion', { timeout: 180_000 }, async (t) => {
  const fleet = await begun(t);
  const work = await begin(t, fleet);
  await fleet.redis.cli('flushall');
  await work.audience.progress();
  await fleet.redis.cli('del', `reelay:job:{job_status:${work.upload.id}}`);
  await finish(fleet, work);
});
