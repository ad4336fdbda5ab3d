// GET /api/jobs/{id}/events: server-sent events, raw and with the clients that
// people have.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, openPage } from '../support/browser.mjs';
import { mint, now, withSecret } from '../support/jwt.mjs';
import { Listener } from '../support/listener.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const EventSource = require('eventsource');
const run = promisify(execFile);

const listen = (server, id, options) =>
  Listener.open(new URL(`/api/jobs/${id}/events`, server.origin), options);

// What `request` brings, byte by byte, until the server ends the connection.
async function exchange(server, request) {
  const socket = net.connect(server.port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (piece) => (text += piece));
  const ended = new Promise((resolve, reject) => socket.on('end', resolve).on('error', reject));
  socket.write(request);
  return { ended, socket, get text() { return text; } };
}

describe('server-sent events', () => {
  let server;

  before(async () => (server = await Server.start({ args: ['--cors-origin', 'https://page.example'] })));
  after(() => server.end());

  test('are the job as GET shows it, with its number as id', async () => {
    await server.tell('told', { stage: 'a', progress: 0.25, message: 'a\nb', metadata: { frame: 1 } });
    const listener = await listen(server, 'told');
    assert.equal(listener.status, 200);
    const { headers } = listener;
    assert.match(headers['content-type'], /^text\/event-stream/);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['x-accel-buffering'], 'no');
    assert.equal(headers.connection, 'close');
    assert.equal(headers['transfer-encoding'], undefined);
    assert.equal(headers['content-length'], undefined);
    await listener.until(() => true);
    const job = await server.job('told');
    assert.equal(listener.text, `retry: 2000\n\nid: ${job.seq}\ndata: ${JSON.stringify(job)}\n\n`);
    listener.drop();
  });

  test('come one for each update, and end behind the last', async () => {
    const listener = await listen(server, 'ended');
    const seqs = [];
    for (let step = 1; step <= 5; step++) {
      const { seq } = await server.report('ended', { stage: 'a', progress: step / 10, message: `${step}` });
      seqs.push(seq);
    }
    seqs.push((await server.report('ended', { status: 'completed', result: { frames: 7 } })).seq);
    assert.equal(await listener.over(), 'end');
    assert.equal(listener.retry, 2000);
    assert.deepEqual(listener.ids.map(Number), seqs);
    assert.deepEqual(listener.messages.at(-1), await server.job('ended'));
    const late = await listen(server, 'ended');
    assert.equal(await late.over(), 'end');
    assert.deepEqual(late.messages, [await server.job('ended')]);
  });

  test('end behind a failure and a cancellation too', async () => {
    for (const [id, finish] of [
      ['failed', () => server.report('failed', { status: 'failed', error: 'no' })],
      ['cancelled', () => server.request('/api/jobs/cancelled', { method: 'DELETE' })],
    ]) {
      await server.tell(id, { stage: 'a', progress: 0.1, message: '' });
      const listener = await listen(server, id);
      await finish();
      assert.equal(await listener.over(), 'end');
      assert.equal(listener.messages.at(-1).state, id);
      assert.equal(typeof listener.messages.at(-1).error, 'string');
    }
  });

  test('of an unknown job begin with its first update', async () => {
    const listener = await listen(server, 'unknown');
    await waitFor(() => listener.retry, 'the greeting');
    assert.equal(listener.text, 'retry: 2000\n\n');
    await server.tell('unknown', { stage: 'a', progress: 0.1, message: 'first' });
    await listener.until((job) => job.message === 'first');
    assert.equal(listener.events.length, 1);
    listener.drop();
  });

  test('do not repeat what the client was sent', async () => {
    const first = await server.report('resumed', { stage: 'a', progress: 0.1, message: 'first' });
    await server.tell('resumed', { stage: 'a', progress: 0.2, message: 'second' });
    const { seq } = await server.job('resumed');
    const at = (headers, query = '') =>
      Listener.open(`${server.origin}/api/jobs/resumed/events${query}`, { headers });
    const knowing = [
      await at({ 'last-event-id': seq }),
      await at({}, `?last_event_id=${seq}`),
      await at({ 'last-event-id': seq }, `?last_event_id=${first.seq}`), // the header is the newer one
      await at({ 'last-event-id': seq + 1000 }), // of records that were lost
    ];
    const behind = [
      await at({ 'last-event-id': first.seq }),
      await at({ 'last-event-id': 'not a number of ours' }),
      await at({}, '?last_event_id='.concat(first.seq)),
      await at({}),
    ];
    for (const listener of behind) await listener.until((job) => job.message === 'second');
    await server.tell('resumed', { stage: 'a', progress: 0.3, message: 'third' });
    for (const listener of [...knowing, ...behind]) await listener.until((job) => job.message === 'third');
    for (const listener of knowing) assert.deepEqual(listener.messages.map((job) => job.message), ['third']);
    for (const listener of behind) assert.deepEqual(listener.messages.map((job) => job.message), ['second', 'third']);
    for (const listener of [...knowing, ...behind]) listener.drop();
    const bad = await server.get('/api/jobs/resumed/events?last_event_id=x');
    assert.equal(bad.status, 400);
    assert.equal(bad.json.error.field, 'last_event_id');
  });

  test('are 204 for who knows the end', async () => {
    await server.tell('over', { stage: 'a', progress: 0.5, message: '' });
    const { seq: before } = await server.job('over');
    await server.tell('over', { status: 'completed', result: {} });
    const { seq } = await server.job('over');
    for (const id of [seq, seq + 1, '18446744073709551615']) {
      const answer = await server.request('/api/jobs/over/events', { headers: { 'last-event-id': id } });
      assert.equal(answer.status, 204, `${id}`);
      assert.equal(answer.text, '');
    }
    assert.equal((await server.get(`/api/jobs/over/events?last_event_id=${seq}`)).status, 204);
    const behind = await listen(server, 'over', { headers: { 'last-event-id': before } });
    assert.equal(await behind.over(), 'end');
    assert.deepEqual(behind.ids.map(Number), [seq]);
  });

  test('are for GET, and HEAD is their head', async () => {
    const head = await server.request('/api/jobs/headed/events', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.match(head.headers['content-type'], /^text\/event-stream/);
    assert.equal(head.headers['content-length'], undefined);
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const answer = await server.request('/api/jobs/headed/events', { method });
      assert.equal(answer.status, 405, method);
      assert.match(answer.headers.allow, /\bGET\b/);
    }
    for (const id of ['.hidden', 'a%20b', 'x'.repeat(129)]) {
      assert.equal((await server.get(`/api/jobs/${id}/events`)).status, 404, id);
    }
  });

  test('can be had by HTTP/1.0, and end with the connection', async () => {
    await server.tell('ancient', { status: 'completed', result: {} });
    const wire = await exchange(server, 'GET /api/jobs/ancient/events HTTP/1.0\r\n\r\n');
    await within(wire.ended, 'the end');
    const [head, ...events] = wire.text.split('\r\n\r\n');
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(head, /\r\nConnection: close\r\n/);
    assert.match(events.join(''), /^retry: 2000\n\nid: \d+\ndata: \{.*\}\n\n$/);
  });

  test('can be read with curl', async () => {
    const curl = spawn('curl', ['-sN', `${server.origin}/api/jobs/curled/events`], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    curl.stdout.setEncoding('utf8').on('data', (piece) => (said += piece));
    const exited = new Promise((resolve) => curl.on('close', resolve));
    await waitFor(() => said.includes('retry'), 'the greeting');
    await server.report('curled', { stage: 'a', progress: 0.5, message: 'half' });
    await waitFor(() => said.includes('"half"'), 'the update');
    await server.report('curled', { status: 'completed', result: {} });
    assert.equal(await within(exited, 'curl to end'), 0);
    assert.match(said, /"state":"completed"/);
    const { stdout } = await run('curl', ['-sI', `${server.origin}/api/jobs/curled/events`]);
    assert.match(stdout, /^HTTP\/1\.1 200 /);
  });

  test('can be had by pages of other origins that may call', async () => {
    const listener = await listen(server, 'elsewhere', { headers: { origin: 'https://page.example' } });
    assert.equal(listener.headers['access-control-allow-origin'], 'https://page.example');
    listener.drop();
    const preflight = await server.request('/api/jobs/elsewhere/events', {
      method: 'OPTIONS',
      headers: { origin: 'https://page.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'last-event-id' },
    });
    assert.match(preflight.headers['access-control-allow-headers'], /last-event-id/i);
  });

  test('who leaves costs nothing any more', async () => {
    const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
    const listeners = await Promise.all([...Array(50)].map(() => listen(server, 'left')));
    const open = descriptors();
    for (const listener of listeners) listener.drop();
    await waitFor(() => descriptors() <= open - 50, 'the descriptors to be given back');
    await server.tell('left', { stage: 'a', progress: 0.5, message: '' });
  });

  test('a comment comes after 15 s of silence, not before', { timeout: 90_000 }, async () => {
    const began = Date.now();
    const listener = await listen(server, 'quiet');
    await waitFor(() => listener.comments.length > 0, 'a comment');
    const silence = Date.now() - began;
    assert.ok(silence > 13_500 && silence < 45_000, `after ${silence} ms`);
    assert.deepEqual(listener.comments, ['keepalive']);
    listener.drop();
  });
});

// What EventSource heard: { message, seq }.
function follow(server, id, options) {
  const source = new EventSource(`${server.origin}/api/jobs/${id}/events`, options);
  const heard = [];
  source.onmessage = ({ data, lastEventId }) => heard.push({ ...JSON.parse(data), id: lastEventId });
  source.onerror = () => {};
  return { source, heard };
}

test('the eventsource package hears everything once, over a restart, and stops at the end', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t);
  const { source, heard } = follow(server, 'followed');
  t.after(() => source.close());
  const said = (message) => waitFor(() => heard.some((job) => job.message === message), message);
  await server.tell('followed', { stage: 'a', progress: 0.1, message: 'one' });
  await said('one');
  await server.tell('followed', { stage: 'a', progress: 0.2, message: 'two' });
  await said('two');
  await server.stop();
  await server.start();
  await server.tell('followed', { stage: 'a', progress: 0.3, message: 'three' });
  await said('three');
  await server.tell('followed', { status: 'completed', result: {}, message: 'four' });
  await waitFor(() => source.readyState === EventSource.CLOSED, 'the client to stop');
  assert.deepEqual(heard.map((job) => job.message), ['one', 'two', 'three', 'four']);
  assert.deepEqual(heard.map((job) => job.id), heard.map((job) => String(job.seq)));
  for (let at = 1; at < heard.length; at++) assert.ok(heard[at].seq > heard[at - 1].seq);
});

test('Chromium does the same', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await openPage(browser, server, {
    script: `
      window.heard = [];
      window.source = new EventSource('/api/jobs/paged/events');
      source.onmessage = (event) => heard.push({ ...JSON.parse(event.data), id: event.lastEventId });
    `,
  });
  const heard = () => page.evaluate('window.heard');
  const said = (message) => waitFor(async () => (await heard()).some((job) => job.message === message), message);
  await server.tell('paged', { stage: 'a', progress: 0.1, message: 'one' });
  await said('one');
  await server.stop();
  await server.start();
  await server.tell('paged', { stage: 'a', progress: 0.2, message: 'two' });
  await said('two');
  await server.tell('paged', { status: 'completed', result: {}, message: 'three' });
  await waitFor(async () => (await page.evaluate('source.readyState')) === 2, 'the page to stop');
  const all = await heard();
  assert.deepEqual(all.map((job) => job.message), ['one', 'two', 'three']);
  assert.deepEqual(all.map((job) => job.id), all.map((job) => String(job.seq)));
  assert.deepEqual(page.broke, []);
});

test('a server that ends ends its streams in order', async (t) => {
  const server = await Server.during(t);
  const listeners = await Promise.all(['a', 'a', 'b'].map((id) => listen(server, id)));
  await server.tell('a', { stage: 'a', progress: 0.5, message: 'half' });
  await listeners[0].until((job) => job.message === 'half');
  await server.stop();
  for (const listener of listeners) assert.equal(await listener.over(), 'end');
});

describe('with tokens', () => {
  let server;
  const alice = mint({ sub: 'alice' });
  const bob = mint({ sub: 'bob' });

  before(async () => (server = await Server.start({ env: withSecret })));
  after(() => server.end());

  test('somebody else is told nothing, not even that there is a job', async () => {
    const { json } = await server.post('/jobs/create', {}, alice);
    const path = `${server.origin}/api/jobs/${json.job_id}/events`;
    const hers = await Listener.open(path, { headers: { authorization: `Bearer ${alice}` } });
    const hersToo = await Listener.open(`${path}?token=${alice}`);
    const his = await Listener.open(`${path}?token=${bob}`);
    await server.tell(json.job_id, { stage: 'a', progress: 0.5, message: 'half' }, alice);
    await hers.until((job) => job.message === 'half');
    await hersToo.until((job) => job.message === 'half');
    await server.tell(json.job_id, { status: 'completed', result: {} }, alice);
    await hers.over();
    await hersToo.over();
    const { seq } = await server.job(json.job_id, alice);
    const later = await Listener.open(`${path}?token=${bob}&last_event_id=${seq}`);
    assert.equal(later.status, 200);
    await waitFor(() => later.retry && his.retry, 'the greetings');
    // Nothing that would have been said is under way any more.
    const sign = await Listener.open(`${path}?token=${alice}`);
    await sign.over();
    for (const listener of [his, later]) {
      assert.equal(listener.text, 'retry: 2000\n\n');
      assert.equal(listener.end, null);
      listener.drop();
    }
    for (const token of [alice, bob]) assert.ok(!server.log.includes(token.split('.')[2]));
  });

  test('a stream ends with its token if that is wanted', async (t) => {
    const strict = await Server.during(t, { env: withSecret, args: ['--jwt-leeway', '0s', '--token-expiry', 'close'] });
    const token = mint({ sub: 'alice', exp: now() + 6 });
    const path = `${strict.origin}/api/jobs/brief/events?token=${token}`;
    const listener = await Listener.open(path);
    assert.equal(listener.status, 200);
    assert.equal(await listener.over(), 'end');
    assert.equal((await strict.get(path)).status, 401);
  });

  test('without one it is 401', async () => {
    const answer = await server.get('/api/jobs/any/events');
    assert.equal(answer.status, 401);
    assert.match(answer.headers['www-authenticate'], /^Bearer/);
    assert.equal((await server.get('/api/jobs/any/events?token=none')).status, 401);
  });
});
