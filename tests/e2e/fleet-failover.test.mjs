// A Redis that is several: a primary whose replica takes over, and a cluster.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { Conversion } from '../support/conversion.mjs';
import { Audience, Fleet, FleetRedis, Sentinel, areListening, measure } from '../support/fleet.mjs';
import { waitFor } from '../support/wait.mjs';

const run = promisify(execFile);
const SECONDS = 20;

test('a primary dies in the middle of a conversion, and its replica takes over', { timeout: 180_000 }, async (t) => {
  const redis = await FleetRedis.during(t, { keeps: true });
  const replica = await FleetRedis.during(t, { keeps: true, more: ['--replicaof', '127.0.0.1', String(redis.port)] });
  await waitFor(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')), 'the replica to follow');
  const sentinel = await Sentinel.during(t, redis);
  await waitFor(async () => /num-slaves\n1/.test(await sentinel.cli('sentinel', 'master', 'main')), 'the Sentinel to know the replica');
  const fleet = await Fleet.during(t, { redis, engine: sentinel.url });
  const job = await Conversion.begin(t, fleet, SECONDS);
  job.holder.freeze();
  await measure(t, 'ready again behind a failover', async () => {
    await redis.stop();
    await waitFor(() => fleet.serves.every(({ log }) => /event=redis_down/.test(log)), 'both to notice');
    await Promise.all(fleet.serves.map((node) => node.ready()));
  });
  assert.match(await replica.cli('role'), /^master/);
  job.holder.thaw();
  await job.end();
});

test('a cluster, one node of which dies and comes back', { timeout: 180_000 }, async (t) => {
  const nodes = [];
  for (let count = 0; count < 3; count++) {
    nodes.push(await FleetRedis.during(t, {
      keeps: true, more: ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-require-full-coverage', 'no'],
    }));
  }
  await run('redis-cli', ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes']);
  await waitFor(async () => {
    const states = await Promise.all(nodes.map((node) => node.cli('cluster', 'info')));
    return states.every((state) => /cluster_state:ok/.test(state));
  }, 'the cluster to be one');
  const fleet = await Fleet.during(t, { redis: nodes[0] });
  const job = await Conversion.begin(t, fleet, SECONDS);
  job.holder.freeze();
  // Work lies in one slot; so one of them is the one that it hurts most.
  const slot = await nodes[0].cli('cluster', 'keyslot', '{reelay}:');
  const owner = nodes[Math.min(2, Math.floor((Number(slot) * 3) / 16384))];
  await owner.stop();
  await Promise.all(fleet.serves.map((node) => node.ready(false)));
  await owner.start();
  await measure(t, 'ready again behind the return of a node', () => Promise.all(fleet.serves.map((node) => node.ready())));
  job.holder.thaw();
  await job.end();
  // And a foreign reporter, at whatever node.
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], 'foreign', job.upload.token);
  await areListening(nodes, 'foreign');
  const report = JSON.stringify({ job_id: 'foreign', status: 'processing', stage: 'rendering', progress: 0.5, message: 'half' });
  await nodes[1].cli('publish', 'job_progress:foreign', report);
  await audience.heard(1);
  await nodes[2].cli('publish', 'job_progress:foreign', report.replace('0.5', '0.6'));
  await audience.heard(2);
});
