// Webhooks: a receiver that fails, is slow, is away, and a server that is cut down
// meanwhile. Whatever was seen of a job is told, in order, under one id.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { metrics } from '../support/metrics.mjs';
import { freePort } from '../support/ports.mjs';
import { Receiver, secret } from '../support/receiver.mjs';
import { reelay, Server, temporaryFolder } from '../support/server.mjs';
import { Authority } from '../support/tls.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const RETRY = ['--webhook-retry', '20ms'];

function withHooks(receivers, more = []) {
  return {
    args: [...receivers.flatMap((one) => ['--webhook', one.url ?? one]), ...RETRY, ...more],
    env: { REELAY_WEBHOOK_SECRET: secret },
  };
}

async function deliveries(server, query = '', token) {
  const answer = await server.get(`/api/webhooks/deliveries${query}`, token);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.deliveries;
}

const untilAll = (server, state, count) =>
  waitFor(async () => (await deliveries(server, `?state=${state}`)).length === count, `${count} ${state}`);

test('a job is told of when it begins and when it ends, as the API shows it', async (t) => {
  const receiver = await Receiver.during(t);
  const server = await Server.during(t, withHooks([receiver]));
  await server.tell('one', { status: 'processing', progress: 0.5, title: 'A film' });
  const [created] = await receiver.has(1);
  await server.tell('one', { status: 'completed', result: { answer: 42 } });
  const [, completed] = await receiver.has(2);
  assert.equal(created.type, 'job.created');
  assert.equal(created.method, 'POST');
  assert.equal(completed.type, 'job.completed');
  assert.deepEqual(completed.data, await server.job('one'));
  assert.deepEqual(Object.keys(JSON.parse(completed.body)), ['type', 'timestamp', 'data']);
  assert.match(JSON.parse(completed.body).timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.notEqual(created.id, completed.id);
  await server.tell('two', { status: 'failed', error: 'no' });
  await server.tell('three', { status: 'processing', progress: 0.1 });
  assert.equal((await server.request('/api/jobs/three', { method: 'DELETE' })).status, 202);
  await receiver.has(6);
  const of = (job) => receiver.accepted.filter((one) => one.job === job).map((one) => one.type);
  assert.deepEqual(of('two'), ['job.created', 'job.failed']);
  assert.deepEqual(of('three'), ['job.created', 'job.cancelled']);
});

test('an upload is told of with where it can be watched', { timeout: 120_000 }, async (t) => {
  const receiver = await Receiver.during(t);
  const server = await Server.during(t, withHooks([receiver]));
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 2 }), chunks: 2 });
  await upload.putAll();
  await upload.assemble();
  const job = await upload.complete();
  const [created, completed] = await receiver.has(2);
  assert.equal(created.data.state, 'queued');
  assert.deepEqual(completed.data, job);
  assert.ok(completed.data.hls_url);
});

test('a receiver that answers 500 is asked again under the same id, in order', async (t) => {
  const receiver = await Receiver.during(t, { answer: (one, nth) => (nth <= 2 ? 500 : 200) });
  const server = await Server.during(t, withHooks([receiver]));
  await server.tell('job', { status: 'completed' });
  await receiver.has(2);
  assert.deepEqual(receiver.tries.map((one) => one.type), [
    ...Array(3).fill('job.created'),
    ...Array(3).fill('job.completed'),
  ]);
  assert.equal(new Set(receiver.tries.map((one) => one.id)).size, 2);
  assert.equal(new Set(receiver.tries.map((one) => one.body)).size, 2);
  await untilAll(server, 'delivered', 2);
  const [last] = await deliveries(server, '?job=job');
  assert.equal(last.type, 'job.completed');
  assert.equal(last.attempts, 3);
  assert.equal(last.status, 200);
  const counted = await metrics(server);
  assert.equal(counted.get('reelay_webhooks_total{outcome="failed"}'), 4);
  assert.equal(counted.get('reelay_webhooks_total{outcome="delivered"}'), 2);
});

test('a slow receiver holds no other up, and gets a few at a time', async (t) => {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  const slow = await Receiver.during(t, { answer: () => gate.then(() => 200) });
  const fast = await Receiver.during(t);
  const server = await Server.during(t, withHooks([slow, fast], ['--webhook-timeout', '2m']));
  for (let i = 0; i < 30; i++) await server.report(`job${i}`, { status: 'completed' });
  await fast.has(60);
  await waitFor(() => slow.open === 4, 'as many as it gets at a time');
  assert.equal(slow.accepted.length, 0);
  release();
  await slow.has(60);
  assert.ok(slow.most <= 4 && fast.most <= 4);
  for (let i = 0; i < 30; i++)
    assert.deepEqual(
      slow.accepted.filter((one) => one.job === `job${i}`).map((one) => one.type),
      ['job.created', 'job.completed'],
    );
});

test('what was heard is told, though the receiver was away and the server cut down', async (t) => {
  const receiver = await Receiver.during(t, { port: await freePort() }); // to which it comes back
  await receiver.stop();
  const server = await Server.during(t, withHooks([receiver]));
  for (let round = 0; round < 5; round++) {
    await server.tell(`ended${round}`, { status: 'completed' });
    await server.tell(`begun${round}`, { status: 'processing', progress: 0.5 });
    await server.kill();
    await server.start();
  }
  const all = () => deliveries(server, '?limit=200');
  assert.equal((await all()).length, 15);
  await waitFor(async () => (await all()).some((one) => one.why === 'nothing answers there'), 'a try in vain');
  await receiver.start();
  await receiver.has(15);
  for (let round = 0; round < 5; round++) {
    const of = (job) => [...new Set(receiver.accepted.filter((one) => one.job === job).map((one) => one.type))];
    assert.deepEqual(of(`ended${round}`), ['job.created', 'job.completed']);
    assert.deepEqual(of(`begun${round}`), ['job.created']);
  }
  await untilAll(server, 'pending', 0);
});

test('cut down while the receiver thinks, it tells the same again under the same id', async (t) => {
  let seen;
  const first = new Promise((resolve) => (seen = resolve));
  const receiver = await Receiver.during(t, {
    answer: (one, nth) => (nth === 1 ? (seen(), new Promise(() => {})) : 200),
  });
  const server = await Server.during(t, withHooks([receiver]));
  await server.tell('job', { status: 'processing', progress: 0.5 });
  await first;
  await server.kill();
  await server.start();
  await receiver.has(1);
  assert.equal(receiver.tries.length, 2);
  assert.equal(receiver.tries[0].id, receiver.tries[1].id);
  assert.equal(receiver.tries[0].body, receiver.tries[1].body);
});

test('410 and too many failures end it, and it can be replayed', async (t) => {
  const answers = { gone: 410, broken: 503, moved: 302 };
  const receiver = await Receiver.during(t, {
    answer: (one) => ({ status: answers[one.job] ?? 200, headers: { location: '/elsewhere' } }),
  });
  const server = await Server.during(t, withHooks([receiver], ['--webhook-retry', '10ms']));
  await server.tell('gone', { status: 'processing', progress: 0.5 });
  await untilAll(server, 'failed', 1);
  const [gone] = await deliveries(server, '?job=gone');
  assert.equal(gone.attempts, 1);
  assert.equal(gone.status, 410);
  await server.tell('moved', { status: 'processing', progress: 0.5 });
  await waitFor(() => receiver.tries.filter((one) => one.job === 'moved').length >= 2, 'a second try');
  const [moved] = await deliveries(server, '?job=moved');
  assert.equal(moved.state, 'pending');
  assert.match(moved.why, /redirects are not followed/);
  assert.ok(receiver.tries.every((one) => one.url === '/hook'));

  const again = () => server.post(`/api/webhooks/deliveries/${gone.id}/replay`);
  delete answers.gone;
  assert.deepEqual((await again()).json, { id: gone.id, state: 'pending' });
  const [one] = await receiver.has(1, (which) => which.job === 'gone');
  assert.equal(one.id, gone.message);
  await waitFor(async () => (await deliveries(server, '?job=gone'))[0].state === 'delivered', 'the replay');
  assert.equal((await again()).status, 202);
  await receiver.has(2, (which) => which.job === 'gone');
  assert.equal((await server.post('/api/webhooks/deliveries/99999/replay')).status, 409);
  assert.equal((await server.post('/api/webhooks/deliveries/x/replay')).status, 404);
  assert.equal((await server.get('/api/webhooks/deliveries?state=odd')).status, 400);
});

test('what follows the head of an answer is of no concern', async (t) => {
  const heads = ['HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'];
  const receiver = net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(heads.shift())));
  t.after(() => receiver.close());
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const server = await Server.during(t, withHooks([`http://127.0.0.1:${receiver.address().port}/`]));
  await server.tell('job', { status: 'completed' });
  await untilAll(server, 'delivered', 2);
  assert.deepEqual((await deliveries(server)).map((one) => [one.status, one.attempts]), [[200, 1], [200, 1]]);
});

test('Retry-After is waited for', async (t) => {
  const receiver = await Receiver.during(t, {
    answer: (one, nth) => (nth === 1 ? { status: 429, headers: { 'retry-after': '2' } } : 200),
  });
  const server = await Server.during(t, withHooks([receiver]));
  const began = Date.now();
  await server.tell('job', { status: 'processing', progress: 0.5 });
  await receiver.has(1);
  assert.ok(Date.now() - began >= 1900, `${Date.now() - began} ms`);
});

test('a receiver that never answers is given up in time and asked again', async (t) => {
  const receiver = await Receiver.during(t, { answer: (one, nth) => (nth === 1 ? new Promise(() => {}) : 200) });
  const server = await Server.during(t, withHooks([receiver], ['--webhook-timeout', '200ms']));
  await server.tell('job', { status: 'processing', progress: 0.5 });
  await receiver.has(1);
  assert.ok(receiver.tries.length >= 2, 'the first try was given up');
});

test('while one secret takes another\'s place, both sign', async (t) => {
  const secrets = [secret, 'plain-and-simple'];
  const receiver = await Receiver.during(t, { secrets });
  const server = await Server.during(t, { args: ['--webhook', receiver.url, '--webhook-secret', secrets.join(' ')] });
  await server.tell('job', { status: 'processing', progress: 0.5 });
  await receiver.has(1);
});

test('the log hides logins and queries, is for admins, and is forgotten in time', async (t) => {
  const receiver = await Receiver.during(t);
  const url = receiver.url.replace('http://', 'http://user:hunter2@') + '?token=hunter2';
  const server = await Server.during(t, {
    args: ['--webhook', url, '--webhook-log-ttl', '1s', '--upload-ttl', '1s', '--auth', 'all'],
    env: { REELAY_WEBHOOK_SECRET: secret },
  });
  const token = await server.token();
  const admin = await server.token({ admin: true });
  await server.report('job', { status: 'processing', progress: 0.5 }, token);
  const [told] = await receiver.has(1);
  assert.equal(told.url, '/hook?token=hunter2');
  const refusal = await server.get('/api/webhooks/deliveries', token);
  assert.equal(refusal.status, 403);
  assert.equal(refusal.json.error.code, 'admin_only');
  assert.equal((await server.get('/api/webhooks/deliveries')).status, 401);
  const answer = await server.get('/api/webhooks/deliveries', admin);
  assert.equal(answer.status, 200);
  assert.doesNotMatch(answer.text + server.log, /hunter2/);
  await waitFor(async () => (await deliveries(server, '', admin)).length === 0, 'the log to be forgotten', { timeout: 20_000 });
});

test('what cannot be right is refused at the start', async () => {
  const dataDir = temporaryFolder();
  const start = (...args) => reelay(['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir, ...args]);
  const refused = async (expected, ...args) => {
    const { status, stderr } = await start(...args);
    assert.equal(status, 1);
    assert.match(stderr, expected);
    assert.doesNotMatch(stderr, /hunter2/);
  };
  await refused(/--webhook needs --webhook-secret/, '--webhook', 'http://127.0.0.1:1/');
  await refused(/--webhook: .* is not a URL/, '--webhook', 'ftp://u:hunter2@h', '--webhook-secret', 'x');
  await refused(/--webhook-secret: .*base64/, '--webhook', 'http://h', '--webhook-secret', 'whsec_hunter2*');
});

test('a receiver behind https is told if its certificate is trusted', async (t) => {
  const ca = await Authority.during(t);
  const receiver = await Receiver.during(t);
  const front = await ca.before(t, receiver.url);
  const options = withHooks([`${front.origin}/hook`]);
  const server = await Server.during(t, { ...options, env: { ...options.env, SSL_CERT_FILE: ca.file } });
  await server.tell('job', { status: 'completed' });
  await receiver.has(2);
  await untilAll(server, 'delivered', 2);
});

test('a receiver whose certificate is not trusted is told nothing, and the log says why', async (t) => {
  const ca = await Authority.during(t);
  const receiver = await Receiver.during(t);
  const cases = [
    [{}, {}, 'unable to get local issuer certificate'],
    [{ names: ['hooks.example'] }, { SSL_CERT_FILE: ca.file }, "no alternative certificate subject name matches target host name '127.0.0.1'"],
    [{ isOver: true }, { SSL_CERT_FILE: ca.file }, 'certificate has expired'],
    [{ isOwn: true }, { SSL_CERT_FILE: ca.file }, 'self-signed certificate'],
  ];
  for (const [how, env, why] of cases) {
    const front = await ca.before(t, receiver.url, how);
    const options = withHooks([`${front.origin}/hook`], ['--webhook-retry', '10s']);
    const server = await Server.during(t, { ...options, env: { ...options.env, ...env } });
    await server.tell('job', { status: 'processing', progress: 0.1 });
    const one = await waitFor(async () => (await deliveries(server)).find(({ attempts }) => attempts > 0), 'a try');
    assert.equal(one.state, 'pending');
    assert.equal(one.why, `its certificate is not trusted: ${why}`);
    assert.match(server.log, /event=webhook_failed .*its certificate is not trusted/);
  }
  assert.equal(receiver.tries.length, 0);
});
