// The way to Redis is cut without a word, for longer than a lease, and is whole again:
// what was on the way then arrives late, and changes nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Audience, Fleet, FleetRedis, Network, Relay, mayMakeNetworks, measure } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { grown, treeOf } from '../support/segments.mjs';
import { isAlive } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 20;
const DOOR = ['--auth', 'off', '--insecure'];

async function relay(t) {
  const redis = await FleetRedis.during(t);
  const way = await Relay.during(t, redis);
  return { redis, way, options: { engine: way.url } };
}

async function network(t) {
  const way = await Network.during(t);
  const redis = (way.redis = await FleetRedis.during(t, { also: [way.redisAddress] }));
  return { redis, way, options: { engine: way.url, by: way.by } };
}

const ways = [['a relay that falls silent', relay]];
if (mayMakeNetworks()) ways.push(['a cable that is pulled', network]);

for (const [name, make] of ways) {
  test(`${name}: a worker beyond it loses its job, and leaves it alone`, { timeout: 180_000 }, async (t) => {
    const { redis, way, options } = await make(t);
    const fleet = await Fleet.during(t, { redis, workers: 0 });
    const lost = await fleet.worker(options);
    const upload = await fleet.upload({ seconds: SECONDS });
    const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token);
    await upload.assemble();
    const holder = await fleet.holder();
    await holder.paced(() => grown(treeOf(fleet, upload), 2));
    const ffmpegs = lost.freeze();
    const other = await fleet.worker();
    way.cut();
    await measure(t, `taken over behind ${name}`, () => fleet.holder(lost));
    const job = await upload.complete();
    await audience.end();
    await verify(fleet.a, job, SECONDS);
    const tree = fleet.published(job);
    lost.thaw(); // it goes on with what is no longer its own
    way.heal();
    await measure(t, `its ffmpeg is gone behind ${name}`, () => waitFor(() => !ffmpegs.some(isAlive), 'its ffmpeg to be gone'));
    await other.stop();
    const next = await fleet.upload({ seconds: 2, chunks: 1 });
    await next.assemble();
    await verify(fleet.b, await next.complete(), 2);
    assert.deepEqual(await upload.job(), job);
    assert.deepEqual(fleet.published(job), tree);
    await audience.end();
  });

  test(`${name}: a node beyond it says so, and then catches up`, { timeout: 180_000 }, async (t) => {
    const { redis, way, options } = await make(t);
    const isFar = way.address !== undefined;
    const fleet = await Fleet.during(t, { redis, serves: 1, workers: 1, serveArgs: DOOR });
    const lost = await fleet.serve({ ...options, ...(isFar && { address: way.address }) });
    await lost.ready();
    const upload = await fleet.upload({ seconds: SECONDS });
    const audience = await Audience.during(t, [[fleet.a], [lost]], upload.id, upload.token);
    await upload.assemble();
    const holder = await fleet.holder();
    await holder.paced(() => grown(treeOf(fleet, upload), 2));
    await holder.paced(() => audience.progress());
    holder.freeze();
    way.cut();
    await measure(t, `not ready behind ${name}`, () => lost.ready(false));
    const health = (await lost.get('/health')).json;
    assert.equal(health.redis.status, 'away');
    t.diagnostic(`it says: ${health.redis.why}`);
    assert.equal(await fleet.a.isReady(), true);
    holder.thaw();
    const job = await upload.complete();
    way.heal();
    await measure(t, `the end behind ${name}`, () => audience.end());
    await lost.ready();
    assert.deepEqual(await lost.job(upload.id, upload.token), job);
    await verify(lost, job, SECONDS);
  });
}

// Shorter than anybody would notice: nothing is lost, and nobody is taken for dead.
test('a way that is slow for a moment is no way that is cut', { timeout: 120_000 }, async (t) => {
  const { redis, way, options } = await relay(t);
  const fleet = await Fleet.during(t, { redis, serves: 1, workers: 0 });
  const worker = await fleet.worker({ ...options, args: ['--lease', '20s'] });
  await fleet.worker({ args: ['--lease', '20s'] }).then((other) => other.stop());
  const upload = await fleet.upload({ seconds: SECONDS });
  const audience = await Audience.during(t, [[fleet.a]], upload.id, upload.token);
  await upload.assemble();
  await fleet.holder();
  for (const count of [1, 2]) {
    way.cut();
    await grown(treeOf(fleet, upload), count);
    way.heal();
  }
  await upload.complete();
  await audience.end();
  assert.equal(worker.log.match(/event=job_claimed/g).length, 1, worker.log);
  assert.doesNotMatch(worker.log, /conversion_resumed/);
});
