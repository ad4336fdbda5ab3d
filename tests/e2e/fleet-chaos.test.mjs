// Jobs go on while everything around them is killed, stopped and cut off, at random
// moments. Each is completed once, whole; whoever watches hears it once, and never
// anything older behind anything newer. SEED=n repeats a run, ROUNDS=n makes it longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Audience, Fleet, FleetRedis, Relay } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { randomOf, seed, waitFor } from '../support/wait.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 4);
const SECONDS = 10;
const MISCHIEF = 4; // in a round
const NODES = 3;

const moment = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Each does something and gives what makes it good again.
const mischief = {
  async 'a worker is killed'({ fleet, pick }) {
    const worker = pick(fleet.workers);
    if (worker.exit !== null || worker.isLeaving) return undefined;
    await worker.kill();
    return () => worker.start();
  },
  async 'a node that serves is killed'({ fleet, pick }) {
    const node = pick(fleet.serves);
    if (node.exit !== null) return undefined;
    await node.kill();
    return () => node.start();
  },
  async 'a worker stands still'({ fleet, pick }) {
    const worker = pick(fleet.workers);
    if (worker.exit !== null || worker.isLeaving) return undefined;
    process.kill(worker.pid, 'SIGSTOP');
    const { pid } = worker;
    return async () => worker.pid === pid && worker.exit === null && process.kill(pid, 'SIGCONT');
  },
  async 'a worker is asked to end'({ fleet, pick }) {
    const worker = pick(fleet.workers);
    if (worker.exit !== null || worker.isLeaving) return undefined;
    worker.isLeaving = true;
    process.kill(worker.pid, 'SIGCONT');
    const stopped = worker.stop();
    return async () => {
      await stopped;
      worker.isLeaving = false;
      await worker.start();
    };
  },
  async 'Redis is killed'({ fleet }) {
    if (fleet.redis.isDown) return undefined;
    await fleet.redis.stop();
    fleet.redis.isDown = true;
    fleet.redis.isStill = false;
    return async () => {
      fleet.redis.isDown = false;
      await fleet.redis.start();
    };
  },
  async 'Redis stands still'({ fleet }) {
    const { redis } = fleet;
    if (redis.isDown || redis.isStill) return undefined;
    const { pid } = redis;
    redis.isStill = true;
    process.kill(pid, 'SIGSTOP');
    return async () => {
      redis.isStill = false;
      if (redis.pid === pid && !redis.isDown) process.kill(pid, 'SIGCONT');
    };
  },
  async 'Redis throws out who listens'({ fleet }) {
    if (fleet.redis.isDown || fleet.redis.isStill) return undefined;
    await fleet.redis.cli('client', 'kill', 'type', 'pubsub');
    await fleet.redis.cli('script', 'flush');
    return undefined;
  },
  async 'the way is cut'({ pick, ways }) {
    const way = pick(ways);
    way.cut();
    return async () => way.heal();
  },
};

test(`jobs survive whatever happens around them (SEED=${seed})`, { timeout: 90_000 * ROUNDS }, async (t) => {
  const random = randomOf(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const redis = await FleetRedis.during(t, { keeps: true });
  const ways = [await Relay.during(t, redis), await Relay.during(t, redis)];
  const fleet = await Fleet.during(t, { redis, serves: NODES - 1, workers: NODES - 1, workerArgs: ['--attempts', '50'] });
  await fleet.worker({ engine: ways[0].url });
  const far = await fleet.serve({ engine: ways[1].url });
  await far.ready();

  for (let round = 0; round < ROUNDS; round++) {
    const uploads = [];
    const audiences = [];
    for (let count = 0; count < 2; count++) {
      const upload = await fleet.upload({ seconds: SECONDS });
      const [a, b, c] = fleet.serves;
      uploads.push(upload);
      audiences.push(await Audience.during(t, [[a, b, c], [c, a, b]], upload.id, upload.token, ['stream', 'jobs', 'events', 'socketio']));
      await upload.assemble();
    }
    const cures = [];
    for (let count = 0; count < MISCHIEF; count++) {
      await moment(random() * 900);
      const name = pick(Object.keys(mischief));
      t.diagnostic(`round ${round}: ${name}`);
      const cure = await mischief[name]({ fleet, pick, ways });
      // Some of it is over before the next comes, some lasts.
      if (cure && random() < 0.4) {
        await moment(random() * 900);
        await cure();
      } else if (cure) {
        cures.push(cure);
      }
    }
    for (const cure of cures) await cure();
    await Promise.all(fleet.serves.map((node) => node.ready()));
    for (const [at, upload] of uploads.entries()) {
      const job = await upload.complete();
      await audiences[at].end();
      for (const node of fleet.serves) assert.deepEqual(await node.job(upload.id, upload.token), job);
      await verify(pick(fleet.serves), job, SECONDS);
      await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
    }
  }
});
