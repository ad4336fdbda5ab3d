// GET /api/status/{id} and GET /api/jobs/{id} with ?wait=: the state as soon as it
// is another one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { mint, withSecret } from '../support/jwt.mjs';
import { metrics } from '../support/metrics.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor, within } from '../support/wait.mjs';

const ask = (server, target, headers = {}, token = undefined) => server.request(target, { headers, token });

// The answer, and how long it took.
async function timed(promise) {
  const began = Date.now();
  const answer = await promise;
  return { answer, ms: Date.now() - began };
}

// How many wait there; who sees that where tokens are asked for is `server.admin`.
const polls = async (server) => (await metrics(server, server.admin)).get('reelay_sessions{dialect="poll"}') ?? 0;

// A poll that has begun to wait.
async function waiting(server, ...request) {
  const before = await polls(server);
  const poll = { answer: null };
  poll.done = ask(server, ...request).then((answer) => (poll.answer = answer));
  poll.done.catch(() => {});
  await waitFor(async () => {
    assert.equal(poll.answer, null, 'the poll does not wait');
    return (await polls(server)) > before;
  }, 'the poll to wait');
  return poll;
}

const settle = (poll) => within(poll.done, 'the answer of a poll');

describe('a poll', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  const step = async (id, number) => {
    await server.tell(id, { stage: 'a', progress: number / 100, message: `${number}` });
    return (await server.job(id)).seq;
  };

  test('without a wait is answered at once, with a validator', async () => {
    const seq = await step('plain', 10);
    for (const path of ['/api/status/plain', '/api/jobs/plain']) {
      const answer = await ask(server, path);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.etag, `"${seq}"`);
      assert.equal(answer.headers['cache-control'], 'no-cache');
      for (const match of [`"${seq}"`, `W/"${seq}"`, `"1", "${seq}"`, '*']) {
        const same = await ask(server, path, { 'if-none-match': match });
        assert.equal(same.status, 304, match);
        assert.equal(same.headers.etag, `"${seq}"`);
        assert.equal(same.text, '');
      }
      for (const match of [`"${seq - 1}"`, `${seq}x`, '""']) {
        assert.equal((await ask(server, path, { 'if-none-match': match })).status, 200, match);
      }
      assert.equal((await ask(server, `${path}?after=${seq}`)).status, 200, 'nobody asked to wait');
      const head = await server.request(path, { method: 'HEAD' });
      assert.equal(head.headers.etag, `"${seq}"`);
      assert.equal(head.headers['content-length'], answer.headers['content-length']);
    }
  });

  test('is answered at once by who knows less', async () => {
    const old = await step('news', 10);
    const seq = await step('news', 20);
    const asked = [
      ['/api/status/news?wait=60'],
      ['/api/status/news?wait=60&after=0'],
      [`/api/status/news?wait=60&after=${old}`],
      ['/api/status/news?wait=60', { 'if-none-match': `"${old}"` }],
      [`/api/jobs/news?wait=60&after=${old}`],
    ];
    for (const request of asked) {
      const { answer, ms } = await timed(ask(server, ...request));
      assert.equal(answer.status, 200, request[0]);
      assert.equal(answer.headers.etag, `"${seq}"`);
      assert.match(answer.headers['cache-control'], /no-store/);
      assert.ok(ms < 30_000, `${ms}`);
    }
  });

  test('waits for what it does not know', async () => {
    const seq = await step('waited', 10);
    const all = [
      await waiting(server, `/api/status/waited?wait=60&after=${seq}`),
      await waiting(server, '/api/status/waited?wait=60', { 'if-none-match': `"${seq}"` }),
      await waiting(server, `/api/status/waited?wait=60&after=${seq}`, { 'if-none-match': `"${seq}"` }),
      await waiting(server, `/api/status/waited?wait=60&after=${seq + 1000}`),
      await waiting(server, `/api/jobs/waited?wait=60&after=${seq}`),
    ];
    const next = await step('waited', 20);
    for (const poll of all) {
      const answer = await settle(poll);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.etag, `"${next}"`);
      const percent = answer.json.jobId ? answer.json.progress : answer.json.progress * 100;
      assert.equal(percent, 20);
    }
  });

  test('is told when its time is over', async () => {
    const seq = await step('late', 10);
    const outcomes = [
      [304, ['/api/status/late?wait=1', { 'if-none-match': `"${seq}"` }]],
      [200, [`/api/status/late?wait=1&after=${seq}`]],
      [304, [`/api/status/late?wait=1&after=${seq}`, { 'if-none-match': `"${seq}"` }]],
      [404, ['/api/status/never?wait=1']],
      [404, ['/api/jobs/never?wait=1&after=7']],
    ];
    await Promise.all(outcomes.map(async ([status, request]) => {
      const { answer, ms } = await timed(ask(server, ...request));
      assert.equal(answer.status, status, request[0]);
      if (status !== 404) assert.equal(answer.headers.etag, `"${seq}"`);
      if (status === 200) assert.equal(answer.json.progress, 10);
      assert.ok(ms >= 950 && ms < 30_000, `${request[0]}: ${ms} ms`);
    }));
  });

  test('waits for a job that is not there yet', async () => {
    const all = [
      await waiting(server, '/api/status/born?wait=60'),
      await waiting(server, '/api/status/born?wait=60&after=12345'),
      await waiting(server, '/api/status/born?wait=60', { 'if-none-match': '"12345"' }),
    ];
    const seq = await step('born', 5);
    for (const poll of all) assert.equal((await settle(poll)).headers.etag, `"${seq}"`);
  });

  test('does not wait behind the end', async () => {
    await server.tell('ended', { status: 'completed', result: {} });
    const { seq } = await server.job('ended');
    for (const [status, ...request] of [
      [200, `/api/status/ended?wait=60&after=${seq}`],
      [200, '/api/status/ended?wait=60&after=9223372036854775807'],
      [304, '/api/status/ended?wait=60', { 'if-none-match': `"${seq}"` }],
    ]) {
      const { answer, ms } = await timed(ask(server, ...request));
      assert.equal(answer.status, status, request[0]);
      assert.ok(ms < 30_000, `${ms}`);
    }
  });

  test('waits behind a failure for another attempt, once it knows of it', async () => {
    const upload = await Upload.create(server, { bytes: randomBytes(4000), chunks: 1 });
    await upload.putAll();
    await upload.assemble();
    const { seq } = await upload.reach('failed');
    const { token } = upload;
    const path = `/api/status/${upload.id}?wait=60`;
    assert.equal((await ask(server, `${path}&after=${seq}`, {}, token)).status, 200);
    const poll = await waiting(server, path, { 'if-none-match': `"${seq}"` }, token);
    await upload.putAll();
    await upload.assemble();
    const answer = await settle(poll);
    assert.equal(answer.status, 200);
    assert.ok(BigInt(answer.headers.etag.slice(1, -1)) > BigInt(seq));
    await upload.reach('failed');
  });

  test('says what is wrong with its numbers', async () => {
    await step('numbers', 1);
    for (const path of ['/api/status/numbers', '/api/jobs/numbers']) {
      for (const [name, values] of [['wait', ['61', '-1', '1.5', 'x', '99999999999999999999']], ['after', ['x', '-1', '0x10']]]) {
        for (const value of values) {
          const answer = await ask(server, `${path}?${name}=${value}`);
          assert.equal(answer.status, 400, `${name}=${value}`);
          assert.equal(answer.json.error.field, name);
          if (name === 'wait') assert.match(answer.json.error.message, /\b60\b/);
        }
      }
    }
    assert.equal((await ask(server, '/api/status/a%20b?wait=60')).status, 404);
  });

  test('wakes everybody who waits for the same', async () => {
    const seq = await step('shared', 10);
    const all = [...Array(200)].map(() => ask(server, `/api/status/shared?wait=60&after=${seq}`));
    await waitFor(async () => (await polls(server)) === 200, 'all to wait');
    const next = await step('shared', 20);
    for (const answer of await within(Promise.all(all), 'all answers')) {
      assert.equal(answer.headers.etag, `"${next}"`);
    }
  });

  test('after poll on one connection sees every step there is time for, and the end', async (t) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const sockets = new Set();
    const poll = (etag) => new Promise((resolve, reject) => {
      const sent = http.get(`${server.origin}/api/status/chased?wait=30`, { agent, headers: etag ? { 'if-none-match': etag } : {} }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece) => (text += piece));
        answer.on('end', () => resolve({ status: answer.statusCode, etag: answer.headers.etag, json: text && JSON.parse(text) }));
      });
      sent.on('socket', (socket) => sockets.add(socket)).on('error', reject);
    });
    const seen = [];
    const chase = (async () => {
      for (let etag; seen.at(-1) !== 'completed';) {
        const answer = await poll(etag);
        etag = answer.etag;
        if (answer.status === 200) seen.push(answer.json.status === 'completed' ? 'completed' : answer.json.progress);
      }
    })();
    for (let number = 1; number <= 30; number++) {
      await server.report('chased', { stage: 'a', progress: number / 100, message: '' });
      await waitFor(() => seen.at(-1) === number, `step ${number}`, { every: 2 });
    }
    await server.report('chased', { status: 'completed', result: {} });
    await within(chase, 'the end');
    assert.deepEqual(seen, [...Array(30).keys()].map((number) => number + 1).concat('completed'));
    assert.equal(sockets.size, 1);
  });

  test('that its client gives up costs nothing any more', async () => {
    const seq = await step('left', 10);
    const control = new AbortController();
    const all = [...Array(50)].map(() =>
      server.request(`/api/status/left?wait=60&after=${seq}`, { signal: control.signal }).catch(() => {}));
    const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
    await waitFor(async () => (await polls(server)) === 50, 'the polls to be there');
    const open = descriptors();
    control.abort();
    await Promise.all(all);
    await waitFor(() => descriptors() <= open - 50, 'the descriptors to be given back');
    await step('left', 20);
  });
});

test('a server that ends answers those who wait', async (t) => {
  const server = await Server.during(t);
  await server.tell('drained', { stage: 'a', progress: 0.5, message: '' });
  const { seq } = await server.job('drained');
  const all = [
    await waiting(server, `/api/status/drained?wait=60&after=${seq}`),
    await waiting(server, '/api/jobs/drained?wait=60', { 'if-none-match': `"${seq}"` }),
    await waiting(server, '/api/status/not-there?wait=60'),
  ];
  const { ms } = await timed(server.stop());
  assert.deepEqual((await Promise.all(all.map(settle))).map((answer) => answer.status), [200, 304, 404]);
  for (const poll of all) assert.equal(poll.answer.headers.connection, 'close');
  assert.ok(ms < 30_000, `${ms}`); // half of what they wanted to wait
});

test("somebody else's job is one that does not exist", async (t) => {
  const server = await Server.during(t, { env: withSecret });
  server.admin = mint({ sub: 'root', scope: 'admin' });
  const alice = mint({ sub: 'alice' });
  const bob = mint({ sub: 'bob' });
  const { json } = await server.post('/jobs/create', {}, alice);
  const path = `/api/status/${json.job_id}`;
  assert.equal((await ask(server, `${path}?wait=5`)).status, 401);
  const hers = await waiting(server, `${path}?wait=60&after=9223372036854775807`, {}, alice);
  const began = Date.now();
  const his = await waiting(server, `${path}?wait=5&token=${bob}`);
  await server.tell(json.job_id, { stage: 'a', progress: 0.5, message: '' }, alice);
  assert.equal((await settle(hers)).json.progress, 50);
  assert.equal((await settle(his)).status, 404);
  assert.ok(Date.now() - began >= 4900, `${Date.now() - began} ms`);
  for (const token of [alice, bob]) assert.ok(!server.log.includes(token.split('.')[2]));
});
