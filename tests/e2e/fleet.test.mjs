// Two that serve, two that work, one Redis: to everybody who uploads, watches or plays,
// it is one server.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Audience, Fleet, FleetRedis } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { waitFor } from '../support/wait.mjs';

test('an upload through both nodes is watched, and played, at both', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { a, b, redis } = fleet;
  const [reports, bytes] = [await redis.subscribe('job_progress:*'), await redis.subscribe('progress:*')];
  const upload = await fleet.upload({ seconds: 8, chunks: 6 });

  // Whatever is asked of the one is known to the other.
  assert.deepEqual((await b.get(`/streaming/uploads/${upload.id}`, upload.token)).json.chunks.length, 6);
  const audience = await Audience.during(t, [[a], [b]], upload.id, upload.token);
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
  const fractions = reports.map(({ message }) => message.progress);
  assert.deepEqual(fractions, [...fractions].sort((x, y) => x - y));
  await waitFor(() => bytes.length > 0, 'progress:{id}');
  const percents = bytes.map(({ message }) => message.percent).filter((percent) => percent !== undefined);
  assert.deepEqual(percents, [...percents].sort((x, y) => x - y));
});

test('jobs that come all at once are shared out, and each is done once', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workerArgs: ['--conversions', '1', '--preset', 'ultrafast'] });
  const uploads = [];
  for (let count = 0; count < 4; count++) uploads.push(await fleet.upload({ seconds: 6, chunks: 1 }));
  const audiences = [];
  for (const { id, token } of uploads) audiences.push(await Audience.during(t, [[fleet.a], [fleet.b]], id, token, ['events', 'stream']));
  await Promise.all(uploads.map((upload) => upload.assemble()));
  await waitFor(() => fleet.workers.every((worker) => worker.ffmpegs.length > 0), 'both to convert', { every: 5 });
  for (const audience of audiences) await audience.end();
  for (const upload of uploads) {
    await verify(fleet.b, await upload.job(), 6);
    await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
  }
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

test('a serve that starts beside another one shares its keys', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { serves: 4, workers: 0 });
  const token = await fleet.a.token();
  for (const node of fleet.serves) {
    const answer = await node.get('/streaming/uploads/1', token);
    assert.equal(answer.status, 404, `${answer.status} ${answer.text}`);
  }
});
