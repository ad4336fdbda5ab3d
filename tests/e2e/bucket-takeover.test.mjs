// A worker that dies in the middle of a conversion: whoever takes over goes on behind the
// segments that are in the bucket. What is there when it dies is decided by a relay, which
// lets no segment behind a certain one through.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { startSwift, through } from '../support/buckets.mjs';
import { clipBytes } from '../support/clips.mjs';
import { getObject, nothingRemains, putObject, remains } from '../support/direct.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { Audience, FleetRedis, LEASE, Node, Worker } from '../support/fleet.mjs';
import { entries, verify } from '../support/hls.mjs';
import { temporaryFolder } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 40; // ten segments
const SECRET = { REELAY_JWT_SECRET: 'a secret of at least thirty-two bytes' };
const RUNGS = ['480p', '360p'];
const TREE = /\/videos\/hls\/(\d+-[0-9a-f]{16})\/([^?]+)/;

let swift;
before(async () => {
  swift = await startSwift();
});
after(() => swift?.stop());

const partsOf = ({ method, path, headers }) => {
  const [, key, name] = TREE.exec(path) ?? [];
  const number = Number(/\/s(\d{5})\.m4s$/.exec(name)?.[1] ?? -1);
  return { method, key, name, number, isCopy: headers['x-amz-copy-source'] !== undefined };
};

// Requests that a function picks come to nothing: at once, or behind `open`, when whoever
// made them is dead.
class Gate {
  constructor(relay, picks, isHolding) {
    this.hits = [];
    const opened = new Promise((resolve) => (this.open = resolve));
    relay.before = async (asked) => {
      const parts = partsOf(asked);
      if (!parts.key || !picks(parts)) return true;
      this.hits.push(parts);
      if (isHolding) await opened;
      return false;
    };
  }
}

class World {
  static async during(t) {
    const world = new World();
    world.t = t;
    world.redis = await FleetRedis.during(t);
    world.relay = await faultyBefore(t, swift);
    const url = through(swift.url, swift, world.relay.origin);
    world.shared = { engine: world.redis.url, env: SECRET };
    world.storage = ['--storage', url, '--storage-parallel', '16'];
    world.server = new Node({ ...world.shared, args: world.storage });
    t.after(() => world.server.end());
    await world.server.start();
    await world.server.ready();
    t.after(() => world.gate?.open());
    return world;
  }

  async worker(...args) {
    const dataDir = temporaryFolder('reelay-scratch-');
    const all = [...this.storage, '--lease', `${LEASE / 1000}s`, '--storage-patience', '20s', '--preset', 'ultrafast', ...args];
    const worker = new Worker({ ...this.shared, dataDir, args: all });
    this.t.after(async () => {
      await worker.end();
      rmSync(dataDir, { recursive: true, force: true });
    });
    await worker.start();
    return worker;
  }

  hold(picks, isHolding = true) {
    this.gate?.open();
    this.gate = new Gate(this.relay, picks, isHolding);
    return this.gate;
  }

  refuseSegmentsFrom(first) {
    return this.hold(({ method, name, number }) => method === 'PUT' && /^\d+p\//.test(name) && number >= first, false);
  }

  letAll() {
    this.gate.open();
    this.relay.before = null;
  }

  async begin() {
    const upload = await Upload.create(this.server, { bytes: await clipBytes({ seconds: SECONDS, size: '640x480', rate: 15 }) });
    await upload.putAll();
    return upload.assemble();
  }

  get asked() {
    return this.relay.requests.map((asked) => ({ ...partsOf(asked), status: asked.status })).filter(({ key }) => key);
  }

  // The key of the claim that has sent so many segments of the picture.
  sent(count, { but = [], sound = false } = {}) {
    const wanted = ['recipe', ...(sound ? ['sound-a0', 'a0/init.mp4'] : []), ...RUNGS.flatMap((rung) => [
      `${rung}/init_${rung}.mp4`, ...[...Array(count).keys()].map((number) => `${rung}/s0000${number}.m4s`)])];
    return waitFor(async () => {
      const done = this.asked.filter(({ method, status }) => method === 'PUT' && status === 200);
      const keys = new Set(done.map(({ key }) => key));
      const has = (key, names) => names.every((name) => done.some((one) => one.key === key && one.name === name));
      const found = [...keys].find((key) => !but.includes(key) && has(key, wanted));
      if (!found || !sound) return found;
      const { text } = await getObject(swift, `videos/hls/${found}/sound-a0`);
      return has(found, entries(text).uris.map((name) => `a0/${name}`)) && found;
    }, `${count} segments to be sent`, { timeout: 120_000 });
  }

  // Up to a dead worker, and what it has left.
  async broken(count = 4) {
    const first = await this.worker();
    this.refuseSegmentsFrom(count);
    const upload = await this.begin();
    const key = await this.sent(count);
    await first.kill();
    this.letAll();
    return { upload, key };
  }

  // It plays, and nothing else is there.
  async end(upload) {
    const job = await upload.complete();
    await verify(this.server, job, SECONDS);
    await nothingRemains(swift, upload);
    const prefix = `videos/hls/${upload.id}-`;
    const others = async () => (await remains(swift, prefix)).filter((name) => !name.includes(`${job.hls_path}/`) || /recipe|sound-/.test(name));
    await waitFor(async () => (await others()).length === 0, 'nothing but what is published');
    return job;
  }
}

// Segments that a worker has kept; none: it has begun anew.
const kept = (worker) => [...worker.log.matchAll(/event=conversion_resumed\b.*\bsegments=(\d+)/g)].map(([, count]) => Number(count));

// Whether it took over the sound as well.
const hasSound = (worker) => [...worker.log.matchAll(/event=segments_fetched\b.*\bsound=(\d)/g)].map(([, is]) => is === '1');

const keyOf = (job) => job.hls_path.split('/').at(-1);

test('each worker goes on behind the segments of the one before, by copies within the bucket', { timeout: 400_000 }, async (t) => {
  const world = await World.during(t);
  const { server } = world;
  const first = await world.worker();
  world.refuseSegmentsFrom(4);
  const upload = await world.begin();
  const audience = await Audience.during(t, [[server]], upload.id, upload.token, ['stream']);
  const one = await world.sent(4, { sound: true });
  await first.kill();

  world.refuseSegmentsFrom(6);
  const second = await world.worker();
  const two = await world.sent(6, { but: [one], sound: true });
  await second.kill();
  assert.deepEqual(kept(second), [3]); // the last one is never trusted

  world.letAll();
  const third = await world.worker();
  const job = await world.end(upload);
  assert.deepEqual(kept(third), [5]);
  assert.deepEqual([hasSound(second), hasSound(third)], [[true], [true]]);
  assert.doesNotMatch(third.log, /conversion_repeated/);
  await audience.end();

  for (const [key, from, count] of [[two, one, 3], [keyOf(job), two, 5]]) {
    const puts = world.asked.filter((asked) => asked.method === 'PUT' && asked.key === key && /^\d+p\/s/.test(asked.name));
    for (const { name, number, isCopy } of puts) assert.equal(isCopy, number < count, `${key}/${name}`);
    const got = world.asked.filter((asked) => asked.method === 'GET' && asked.key === from && asked.number >= 0);
    assert.ok(got.length >= 2 * count, `${got.length} segments were fetched`);
  }
  const { status, headers } = await getObject(swift, `${job.hls_path}/480p/s00000.m4s`);
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^video\//);
  assert.match(headers['cache-control'] ?? '', /immutable/);
});

test('what was made by another recipe is not gone on with', { timeout: 240_000 }, async (t) => {
  const world = await World.during(t);
  const { upload } = await world.broken();
  const second = await world.worker('--crf', '40');
  await world.end(upload);
  assert.deepEqual(kept(second), []);
  assert.doesNotMatch(second.log, /conversion_repeated|segments_fetched/);
});

test('a segment that is damaged in the bucket ends the row', { timeout: 240_000 }, async (t) => {
  const world = await World.during(t);
  const { upload, key } = await world.broken();
  const name = `videos/hls/${key}/360p/s00002.m4s`;
  const { body } = await getObject(swift, name);
  await putObject(swift, name, body.subarray(0, body.length / 2));
  const second = await world.worker();
  await world.end(upload);
  assert.deepEqual(kept(second), [1]);
});

// The second worker, in the middle of fetching what the first had left.
async function fetching(t, ...args) {
  const world = await World.during(t);
  const { upload, key } = await world.broken();
  const gate = world.hold((asked) => asked.method === 'GET' && asked.key === key && asked.number === 2);
  const second = await world.worker(...args);
  await waitFor(() => gate.hits.length > 0, 'a segment to be fetched');
  return { world, upload, second };
}

test('it dies while it fetches, and goes on from that', { timeout: 240_000 }, async (t) => {
  const { world, upload, second } = await fetching(t);
  await second.kill();
  assert.deepEqual(kept(second), []);
  world.letAll();
  await second.start(); // on its own scratch, where the half of it lies
  await world.end(upload);
  assert.deepEqual(kept(second), [3]);
});

test('it is told to end while it fetches, and hands over', { timeout: 240_000 }, async (t) => {
  const { world, upload, second } = await fetching(t, '--drain-timeout', '1s');
  await second.stop();
  world.letAll();
  const third = await world.worker();
  await world.end(upload);
  assert.deepEqual(kept(third), [3]);
});

test('the job is cancelled while it fetches: nothing is left', { timeout: 240_000 }, async (t) => {
  const { world, upload } = await fetching(t);
  const answer = await world.server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
  await upload.reach('cancelled');
  await nothingRemains(swift, upload);
  const left = () => remains(swift, `videos/hls/${upload.id}-`);
  await waitFor(async () => (await left()).length === 0, 'nothing to be left');
});

test('a bucket that refuses them: it begins anew', { timeout: 240_000 }, async (t) => {
  const world = await World.during(t);
  const { upload, key } = await world.broken();
  const refused = (asked) => ['GET', 'HEAD'].includes(asked.method) && partsOf(asked).key === key && partsOf(asked).number >= 0;
  world.relay.refuse({ status: 403, matching: refused });
  const second = await world.worker();
  await world.end(upload);
  assert.deepEqual(kept(second), []);
  assert.match(second.log, /event=segments_unfetched/);
});
