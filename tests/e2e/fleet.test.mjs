// Two that serve, two that work, one Redis: to everybody who uploads, watches or plays,
// it is one server.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { Audience, Fleet, FleetRedis } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { reelay, Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

test('an upload through both nodes is watched, and played, at both', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { a, b, redis } = fleet;
  const [reports, bytes] = [await redis.subscribe('job_progress:*'), await redis.subscribe('progress:*')];
  const upload = await fleet.upload({ seconds: 8, chunks: 6 });

  // Whatever is asked of the one is known to the other.
  assert.deepEqual((await b.get(`/streaming/uploads/${upload.id}`, upload.token)).json.chunks.length, 6);
  const audience = await Audience.during(t, [[a], [b]], upload.id, upload.token);
  await redis.isHeard(upload.id, 2);
  for (const index of upload.indexes) {
    upload.server = index % 2 ? a : b;
    const url = new URL(await upload.url(index)); // asked of the one, sent to the other
    const other = index % 2 ? b : a;
    const put = await other.request(url.pathname + url.search, { method: 'PUT', body: upload.chunk(index) });
    assert.ok(put.status < 300, put.text);
  }
  upload.server = b;
  await upload.assemble();
  upload.server = a;
  const job = await upload.complete();
  await audience.end();

  assert.deepEqual((await b.job(upload.id, upload.token)), job);
  for (const [one, other] of ['stream', 'download', 'jobs', 'broadcast', 'plain', 'socketio'].map((door) => audience.at(door))) {
    assert.deepEqual(one.heard.map(({ rank, end }) => end ?? rank), other.heard.map(({ rank, end }) => end ?? rank), one.door);
    assert.ok(one.heard.length > 3, one.told());
  }
  const [one, other] = audience.at('events').map(({ heard }) => new Map(heard.map(({ seq, text }) => [seq, text])));
  assert.deepEqual([...one], [...other]);
  for (const node of [a, b]) await verify(node, job, 8);

  // The documents' keys and channels.
  const ttl = Number(await redis.cli('ttl', `job_status:${upload.id}`));
  assert.ok(ttl > 3000 && ttl <= 3600, `${ttl}`);
  const status = JSON.parse(await redis.cli('get', `job_status:${upload.id}`));
  assert.equal(status.job_id, String(upload.id));
  assert.equal(status.status, 'completed');
  await waitFor(() => reports.at(-1)?.message.status === 'completed', 'the end on job_progress');
  assert.ok(reports.every(({ channel }) => channel === `job_progress:${upload.id}`));
  const steps = [...new Set(reports.map(({ message }) => message.message))];
  assert.deepEqual(steps, ['Starting chunk assembly', 'Found chunks, preparing',
    ...upload.indexes.map((index) => `Reading chunk ${index + 1}/6`), 'Saving assembled video', 'Cleaning up chunks',
    'Assembly complete', 'Starting HLS conversion', 'Downloading from storage', 'Download complete',
    'FFmpeg conversion running', 'Conversion complete', 'Uploading HLS files to storage', 'Complete',
    'Video processing completed successfully']);
  const fractions = reports.map(({ message }) => message.progress);
  assert.deepEqual(fractions, [...fractions].sort((x, y) => x - y));
  await waitFor(() => bytes.length > 0, 'progress:{id}');
  const percents = bytes.map(({ message }) => message.percent).filter((percent) => percent !== undefined);
  assert.deepEqual(percents, [...percents].sort((x, y) => x - y));
});

test('jobs that come all at once are shared out, and each is done once', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workerArgs: ['--conversions', '1', '--preset', 'ultrafast', '--lease', '60s'] });
  const uploads = [];
  for (let count = 0; count < 4; count++) uploads.push(await fleet.upload({ seconds: 6, chunks: 1 }));
  const audiences = [];
  for (const { id, token } of uploads) audiences.push(await Audience.during(t, [[fleet.a], [fleet.b]], id, token, ['events', 'stream']));
  await Promise.all(uploads.map((upload) => upload.assemble()));
  const first = await waitFor(() => fleet.workers.find((worker) => worker.stops()), 'one to convert', { every: 5 });
  await waitFor(() => fleet.workers.every(({ log }) => /event=job_claimed\b/.test(log)), 'the other to take one');
  first.thaw();
  for (const audience of audiences) await audience.end();
  for (const upload of uploads) {
    await verify(fleet.b, await upload.job(), 6);
    await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
  }
  const claims = fleet.workers.flatMap(({ log }) => log.match(/event=job_claimed\b/g) ?? []);
  assert.equal(claims.length, uploads.length);
});

test('a worker may be there before Redis, and Redis before anything else', { timeout: 120_000 }, async (t) => {
  const redis = await FleetRedis.during(t, { isDown: true });
  const fleet = await Fleet.during(t, { redis, serves: 0, workers: 1 });
  const [worker] = fleet.workers;
  await waitFor(() => /event=redis_down/.test(worker.log), 'the worker to find no Redis');
  const node = await fleet.serve();
  assert.equal(await node.isReady(), false);
  assert.equal((await node.get('/health')).json.redis.status, 'away');
  await redis.start();
  await node.ready();
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  await upload.assemble();
  await verify(node, await upload.complete(), 2);
});

test('jobs wait for a worker, and are done when one comes', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const uploads = [await fleet.upload({ seconds: 2, chunks: 1 }), await fleet.upload({ seconds: 2, chunks: 1 })];
  for (const upload of uploads) await upload.assemble();
  const audience = await Audience.during(t, [[fleet.b]], uploads[1].id, uploads[1].token);
  assert.deepEqual(await Promise.all(uploads.map(async (upload) => (await upload.job()).state)), ['queued', 'queued']);
  await fleet.worker();
  for (const upload of uploads) await verify(fleet.b, await upload.complete(), 2);
  await audience.end();
});

test('an upload that failed is mended at the other node', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  await upload.put(0, Buffer.alloc(upload.bytes.length, 'no video'));
  const first = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token);
  await upload.assemble();
  const failed = await upload.reach('failed', 'completed');
  assert.equal(failed.state, 'failed');
  await first.end('failed');
  upload.server = fleet.b;
  await upload.put(0);
  await upload.assemble();
  const job = await upload.complete();
  assert.ok(job.seq > failed.seq);
  await verify(fleet.a, job, 2);
  assert.deepEqual(await fleet.a.job(upload.id, upload.token), job);
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
});

test('an upload that nobody goes on with is given up, by one node for all', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { serves: 3, serveArgs: ['--upload-ttl', '12s'], workers: 0 });
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token);
  await audience.end('failed');
  await waitFor(() => fleet.remains(upload.id).length === 0, 'what was uploaded to be cleared away');
});

test('which Redis it is stands in the log, by its option or REDIS_URL, and its password nowhere', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const url = `redis://:hush@127.0.0.1:${redis.port}`;
  const named = await Server.during(t, { args: ['--engine', url] });
  const found = await Server.during(t, { env: { REDIS_URL: url } });
  await waitFor(() => [named, found].every(({ log }) => /event=redis_down/.test(log)), 'Redis to refuse the password');
  for (const [{ log }, from] of [[named, '--engine'], [found, 'REDIS_URL']]) {
    assert.match(log, new RegExp(`event=engine redis=redis://127.0.0.1:${redis.port}/0 from=${from}\n`));
    assert.doesNotMatch(log, /hush/);
  }
  const own = await Server.during(t, { env: { REDIS_URL: '' } });
  assert.equal((await own.get('/health')).json.engine, 'local');
  for (const [args, env, says] of [
    [['--engine', 'http://:hush@127.0.0.1'], {}, /^reelay (serve|worker): --engine: it begins with none of redis:/],
    [[], { REDIS_URL: 'redis://:hush@127.0.0.1:nowhere' }, /^reelay (serve|worker): REDIS_URL: its port is not a number/],
  ]) {
    for (const command of ['serve', 'worker']) {
      const { status, stderr } = await reelay([command, '--data-dir', path.join(own.dataDir, command), ...args], { env });
      assert.equal(status, 1);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /hush/);
    }
  }
});

test('a serve that starts beside another one shares its keys', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { serves: 4, workers: 0 });
  const token = await fleet.a.token();
  for (const node of fleet.serves) {
    const answer = await node.get('/streaming/uploads/1', token);
    assert.equal(answer.status, 404, `${answer.status} ${answer.text}`);
  }
});

const FRACTIONS = [...Array(60).keys()].map((step) => (step + 1) / 100);
const told = ({ heard }) => heard.map(({ rank, end }) => end ?? rank);

test('reports to either node are heard at both, step by step', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], 'told', await fleet.a.token());
  await fleet.redis.isHeard('told', 2);
  const seqs = [];
  for (const [step, progress] of FRACTIONS.entries()) {
    const node = fleet.serves[step % 2];
    seqs.push((await node.report('told', { stage: 'rendering', progress, message: `${step}` })).seq);
  }
  seqs.push((await fleet.b.report('told', { status: 'completed', result: { frames: 60 } })).seq);
  await audience.end();
  for (const viewer of audience.at('jobs')) assert.deepEqual(told(viewer), [...FRACTIONS, 'completed']);
  for (const { heard } of audience.at('events')) assert.deepEqual(heard.map(({ seq }) => seq), seqs);
  for (const node of fleet.serves) assert.equal((await node.job('told')).seq, seqs.at(-1));
});

test('of what is told to both at once, both tell the same', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], 'hurried', await fleet.a.token());
  await fleet.redis.isHeard('hurried', 2);
  await Promise.all(fleet.serves.map(async (node) => {
    for (const progress of FRACTIONS) await node.report('hurried', { stage: 'rendering', progress, message: `by ${node.port}` });
  }));
  // One of them is the first to say that it is over; for the other it is over already.
  const ends = await Promise.all(fleet.serves.map((node) =>
    node.post('/api/jobs/hurried/progress', { status: 'completed', result: { by: node.port } })));
  assert.deepEqual(ends.map(({ status }) => status < 300).sort(), [false, true]);
  await audience.end();
  const [one, other] = audience.at('events').map(({ heard }) => heard.map(({ text }) => text));
  assert.deepEqual(one, other);
  for (const door of ['stream', 'download', 'jobs', 'broadcast', 'plain', 'socketio']) {
    const [here, there] = audience.at(door).map(told);
    assert.deepEqual(here, there, door);
  }
});

test("somebody else's job is nobody's business at any node", { timeout: 60_000 }, async (t) => {
  const secret = 'a secret that is long enough for anybody';
  const fleet = await Fleet.during(t, { workers: 0, serveArgs: ['--jwt-secret', secret] });
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((subject) => fleet.a.token({ subject, args: ['--jwt-secret', secret] })));
  const { job_id: id } = (await fleet.a.post('/jobs/create', {}, alice)).json;
  await fleet.a.report(id, { stage: 'rendering', progress: 0.5, message: 'half' }, alice);
  assert.equal((await fleet.b.job(id, alice)).progress, 0.5);
  assert.equal((await fleet.b.get(`/api/jobs/${id}`, bob)).status, 404);
  assert.deepEqual((await fleet.b.get('/api/jobs', bob)).json.jobs, []);
  assert.equal((await fleet.b.get('/api/jobs', alice)).json.jobs.length, 1);
  assert.equal((await fleet.b.request(`/api/jobs/${id}`, { method: 'DELETE', token: bob })).status, 404);
  assert.ok((await fleet.b.post(`/api/jobs/${id}/progress`, { progress: 0.9 }, bob)).status >= 400);
  assert.equal((await fleet.b.job(id, alice)).progress, 0.5);
});
