// Webhooks of several nodes on one Redis: told once, whoever knows of it, by one node at
// a time; and told still when nodes die, and when nobody was there to hear.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Fleet, FleetRedis } from '../support/fleet.mjs';
import { Receiver, secret } from '../support/receiver.mjs';
import { Cluster } from '../support/redis-many.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

async function nodeOf(t, redis, { receivers = [], args = [] } = {}) {
  redis.dataDir ??= redis.folder + '/data';
  const node = await Server.during(t, {
    dataDir: redis.dataDir,
    args: ['--engine', redis.url, ...receivers.flatMap((one) => ['--webhook', one.url]),
      '--webhook-retry', '20ms', '--webhook-timeout', '5s', ...args],
    env: { REELAY_WEBHOOK_SECRET: secret },
  });
  await ready(node);
  return node;
}

const ready = (node) => waitFor(async () => (await node.get('/ready')).status === 200, 'the node to be ready');

async function deliveries(server, query = '?limit=200') {
  const answer = await server.get(`/api/webhooks/deliveries${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.deliveries;
}

const typesOf = (receiver, job) => receiver.accepted.filter((one) => one.job === job).map((one) => one.type);
// Each once, in the order in which they came first: what took too long to be answered comes again.
const eventsOf = (receiver, job) => [...new Set(typesOf(receiver, job))];
const ends = (server, id) => waitFor(async () => (await server.job(id))?.state === 'completed', `the end of ${id}`);

test('each event is told once, though two nodes hear of it', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t);
  const [a, b] = [await nodeOf(t, redis, { receivers: [receiver] }), await nodeOf(t, redis, { receivers: [receiver] })];
  for (let i = 0; i < 20; i++) {
    const [one, other] = i % 2 ? [a, b] : [b, a];
    await one.report(`job${i}`, { status: 'processing', progress: 0.5 });
    await other.report(`job${i}`, { status: 'processing', progress: 0.7 });
    await one.report(`job${i}`, { status: i % 3 ? 'completed' : 'failed', error: i % 3 ? undefined : 'no' });
  }
  await receiver.has(40);
  await waitFor(async () => (await deliveries(b, '?state=delivered&limit=200')).length === 40, 'all to be settled');
  assert.equal(receiver.tries.length, 40);
  for (let i = 0; i < 20; i++)
    assert.deepEqual(typesOf(receiver, `job${i}`), ['job.created', i % 3 ? 'job.completed' : 'job.failed']);
  const { data } = receiver.accepted.find((one) => one.job === 'job1' && one.type === 'job.completed');
  assert.deepEqual(data, await b.job('job1'));
});

test('a worker that only publishes is told of as well', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t);
  await nodeOf(t, redis, { receivers: [receiver] });
  await redis.cli('publish', 'job_progress:far', JSON.stringify({ job_id: 'far', status: 'processing', progress: 10 }));
  await receiver.has(1);
  await redis.cli('publish', 'job_progress:far', JSON.stringify({ job_id: 'far', status: 'completed', progress: 100 }));
  await receiver.has(2);
  assert.deepEqual(typesOf(receiver, 'far'), ['job.created', 'job.completed']);
});

test('what a worker made of an upload is told', { timeout: 120_000 }, async (t) => {
  const receiver = await Receiver.during(t);
  const serveArgs = ['--webhook', receiver.url, '--webhook-secret', secret];
  const fleet = await Fleet.during(t, { serves: 2, workers: 1, serveArgs });
  const upload = await fleet.upload({ seconds: 2, chunks: 2 });
  await upload.assemble();
  const job = await upload.complete();
  const [created, completed] = await receiver.has(2);
  assert.equal(created.type, 'job.created');
  assert.equal(created.data.kind, 'upload');
  assert.equal(completed.type, 'job.completed');
  assert.deepEqual(completed.data, job);
});

test('on a cluster it is the same', { timeout: 120_000 }, async (t) => {
  const receiver = await Receiver.during(t, { answer: (one, nth) => (nth === 1 ? 500 : 200) });
  const serveArgs = ['--webhook', receiver.url, '--webhook-secret', secret, '--webhook-retry', '20ms',
    '--webhook-timeout', '5s'];
  const fleet = await Fleet.during(t, { serves: 2, workers: 0, serveArgs, redis: await Cluster.during(t) });
  for (let i = 0; i < 10; i++) await (i % 2 ? fleet.a : fleet.b).report(`job${i}`, { status: 'completed' });
  await receiver.has(20);
  await waitFor(async () => (await deliveries(fleet.b, '?state=delivered')).length === 20, 'all to be settled');
  assert.equal(receiver.tries.length, 40);
  for (let i = 0; i < 10; i++) assert.deepEqual(typesOf(receiver, `job${i}`), ['job.created', 'job.completed']);
});

test('the node that delivers is cut down: the other goes on, also with what was under way', { timeout: 120_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  let isStuck = true;
  const receiver = await Receiver.during(t, { answer: () => (isStuck ? new Promise(() => {}) : 200) });
  const options = { receivers: [receiver], args: ['--webhook-timeout', '500ms'] };
  const [a, b] = [await nodeOf(t, redis, options), await nodeOf(t, redis, options)];
  await a.report('job', { status: 'completed' });
  await waitFor(() => receiver.tries.length > 0, 'the first try');
  const leader = await redis.cli('get', '{reelay}:hooks:leader');
  const [dead, alive] = leader.includes(`-${a.pid}-`) ? [a, b] : [b, a];
  await dead.kill();
  isStuck = false;
  await waitFor(() => eventsOf(receiver, 'job').length === 2, 'both events');
  assert.deepEqual(receiver.faults, []);
  assert.deepEqual(eventsOf(receiver, 'job'), ['job.created', 'job.completed']);
  assert.equal(new Set(receiver.tries.map((one) => one.id)).size, 2);
  assert.equal((await deliveries(alive)).length, 2);
});

test('what happened while nobody heard is told when somebody is there again', { timeout: 120_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t);
  const told = await nodeOf(t, redis, { receivers: [receiver] });
  const silent = await nodeOf(t, redis);
  await told.report('before', { status: 'processing', progress: 0.5 });
  await receiver.has(1);
  await waitFor(async () => (await deliveries(told, '?state=delivered')).length === 1, 'its answer to be noted');
  await told.kill();
  await silent.report('before', { status: 'completed' });
  await silent.report('meanwhile', { status: 'completed' });
  await silent.report('begun', { status: 'processing', progress: 0.1 });
  await ends(silent, 'meanwhile');
  await told.start();
  await receiver.has(5);
  assert.deepEqual(typesOf(receiver, 'before'), ['job.created', 'job.completed']);
  assert.deepEqual(typesOf(receiver, 'meanwhile'), ['job.created', 'job.completed']);
  assert.deepEqual(typesOf(receiver, 'begun'), ['job.created']);
  await waitFor(async () => (await deliveries(told, '?state=delivered')).length === 5, 'all to be settled');
  assert.equal(receiver.tries.length, 5);
});

test('who ends a job and dies before the lists say so: it is told', { timeout: 120_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t);
  const silent = await nodeOf(t, redis);
  await silent.report('job', { status: 'completed' });
  await ends(silent, 'job');
  // As it is between the record and what comes behind it.
  await waitFor(async () => (await redis.cli('zscore', '{reelay:jobs}:all', 'job')) !== '', 'the list of jobs');
  await redis.cli('zrem', '{reelay:jobs}:all', 'job');
  await redis.cli('zadd', '{reelay:jobs}:live', '1000', 'job');
  await silent.stop();
  const node = await nodeOf(t, redis, { receivers: [receiver] });
  await receiver.has(2);
  assert.deepEqual(typesOf(receiver, 'job'), ['job.created', 'job.completed']);
  await waitFor(async () => (await redis.cli('zscore', '{reelay:jobs}:live', 'job')) === '', 'the lists to be mended');
  assert.notEqual(await redis.cli('zscore', '{reelay:jobs}:all', 'job'), '');
  assert.equal((await deliveries(node, '?job=job')).length, 2);
});

test('a receiver fails, is asked again in order, and what was given up is replayed', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t, { answer: (one, nth) => (one.job === 'gone' && nth === 1 ? 410 : nth <= 2 ? 500 : 200) });
  const a = await nodeOf(t, redis, { receivers: [receiver] });
  const b = await nodeOf(t, redis, { receivers: [receiver] });
  await a.report('job', { status: 'completed' });
  await receiver.has(2);
  assert.deepEqual(receiver.tries.map((one) => one.type), [...Array(3).fill('job.created'), ...Array(3).fill('job.completed')]);
  await a.report('gone', { status: 'processing', progress: 0.5 });
  await waitFor(async () => (await deliveries(b, '?state=failed')).length === 1, 'one to be given up');
  const [gone] = await deliveries(b, '?job=gone');
  assert.equal(gone.why, 'answered 410');
  assert.equal((await b.post(`/api/webhooks/deliveries/${gone.id}/replay`)).status, 202);
  const [again] = await receiver.has(1, (one) => one.job === 'gone');
  assert.equal(again.id, gone.message);
  assert.equal((await b.post('/api/webhooks/deliveries/99/replay')).status, 409);
});

test('what is due again by the time that its failure is settled is tried at once', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  // Redis is slow with what came of the first try: longer than the second is to wait.
  const receiver = await Receiver.during(t, { answer: async (one, nth) => {
    if (nth > 1) return 200;
    await redis.cli('client', 'pause', '300');
    return 500;
  } });
  const node = await nodeOf(t, redis, { receivers: [receiver], args: ['--webhook-timeout', '2m'] });
  await node.report('job', { status: 'completed' });
  await waitFor(() => receiver.accepted.length === 2, 'both events', { timeout: 30_000 });
  assert.deepEqual(receiver.tries.map((one) => one.status), [500, 200, 500, 200]);
});

test('who delivers hears of a replay at another node', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const receiver = await Receiver.during(t);
  const nodes = [await nodeOf(t, redis, { receivers: [receiver] }), await nodeOf(t, redis, { receivers: [receiver] })];
  await nodes[0].report('job', { status: 'completed' });
  await waitFor(async () => (await deliveries(nodes[0], '?state=delivered')).length === 2, 'both to be settled');
  await waitFor(async () => (await redis.cli('pubsub', 'numsub', '{reelay}:hooks:ring')) === '{reelay}:hooks:ring\n2', 'both to listen');
  const rung = await redis.subscribe('{reelay}:hooks:ring');
  const [{ id }] = await deliveries(nodes[0]);
  for (const [i, node] of nodes.entries()) {
    assert.equal((await node.post(`/api/webhooks/deliveries/${id}/replay`)).status, 202);
    await waitFor(() => receiver.tries.length === 3 + i, 'it to be sent again');
    await waitFor(async () => (await deliveries(node, '?state=delivered')).length === 2, 'it to be settled');
    await waitFor(() => rung.length === 1 + i, 'the ring');
  }
});

test('Redis goes and comes back: nothing is lost, nothing comes twice', { timeout: 120_000 }, async (t) => {
  const redis = await FleetRedis.during(t, { keeps: true });
  const receiver = await Receiver.during(t);
  const node = await nodeOf(t, redis, { receivers: [receiver] });
  await node.report('one', { status: 'processing', progress: 0.5 });
  await receiver.has(1);
  await waitFor(async () => (await deliveries(node, '?state=delivered')).length === 1, 'its answer to be noted');
  await redis.stop();
  await redis.start();
  await ready(node);
  await node.report('one', { status: 'completed' });
  await node.report('two', { status: 'completed' });
  await receiver.has(4);
  await waitFor(async () => (await deliveries(node, '?state=delivered')).length === 4, 'all to be settled');
  assert.equal(receiver.tries.length, 4);
});

test('without webhooks there is no log of them', { timeout: 60_000 }, async (t) => {
  const redis = await FleetRedis.during(t);
  const node = await nodeOf(t, redis);
  assert.equal((await node.get('/api/webhooks/deliveries')).status, 404);
});
