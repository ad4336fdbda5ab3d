// Whose pages may come in: what is said to browsers, and what browsers make of it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { clipBytes } from '../support/clips.mjs';
import { doors, withQuery } from '../support/doors.mjs';
import { masterUrl } from '../support/hls.mjs';
import { mint, secret } from '../support/jwt.mjs';
import { Server } from '../support/server.mjs';
import { Upload, publish } from '../support/upload.mjs';

const SHOP = 'https://shop.example.com';
const APP = 'capacitor://localhost';
const EVIL = 'https://evil.example.com';
const alice = mint({ sub: 'alice' });
const withSecret = { REELAY_JWT_SECRET: secret };

const upgrade = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
};

describe('pages of other origins that are listed', () => {
  let server;
  let upload;
  let master;

  before(async () => {
    server = await Server.start({
      args: ['--cors-origin', `${SHOP},HTTPS://Other.Example.com:8443,${APP}`],
      env: withSecret,
    });
    const { job } = await publish(server, { bytes: await clipBytes(), token: alice });
    master = masterUrl(server, job);
    upload = await Upload.create(server, { bytes: Buffer.alloc(100_000), token: alice });
  });
  after(() => server.end());

  // Each kind of answer there is, whoever makes it.
  const answers = [
    [200, 'the page', '/'],
    [200, 'health', '/health'],
    [200, 'a list', '/api/jobs', { token: alice }],
    [401, 'no token', '/api/jobs'],
    [401, 'a bad token', '/api/jobs', { token: 'x' }],
    [404, 'no job', '/api/jobs/none', { token: alice }],
    [404, 'no file', '/videos/hls/none/master.m3u8'],
    [404, 'nothing', '/nothing'],
    [400, 'a bad path', '/%ff'],
    [400, 'a WebSocket only', '/ws/progress'],
    [405, 'a wrong method', '/health', { method: 'POST' }],
    [400, 'no JSON', '/jobs/create', { method: 'POST', body: 'x', token: alice }],
    [400, 'a wrong field', '/streaming/create-video/', { method: 'POST', json: { title: 1 }, token: alice }],
    [201, 'a video', '/streaming/create-video/', { method: 'POST', json: {}, token: alice }],
    [413, 'a large body', '/jobs/create', { method: 'POST', body: 'x'.repeat(100_000), token: alice }],
    [403, 'an URL that is not signed', '/uploads/1/0', { method: 'PUT', body: 'x' }],
    [200, 'a playlist', () => master],
    [206, 'a part of it', () => master, { headers: { range: 'bytes=0-3' } }],
    [416, 'a part it does not have', () => master, { headers: { range: 'bytes=999999-' } }],
    [412, 'a condition', () => master, { headers: { 'if-match': '"other"' } }],
    [200, 'a playlist\'s head', () => master, { method: 'HEAD' }],
  ];
  const targetOf = (target) => (typeof target === 'function' ? target() : target);
  const ask = (target, options, origin) =>
    server.request(targetOf(target), { ...options, headers: { ...options.headers, origin } });

  for (const [status, what, target, options = {}] of answers) {
    test(`may read every answer: ${what}, ${status}`, async () => {
      for (const origin of [SHOP, 'https://other.example.com:8443', APP]) {
        const { headers, ...answer } = await ask(target, options, origin);
        assert.equal(answer.status, status);
        assert.equal(headers['access-control-allow-origin'], origin);
        assert.equal(headers['access-control-allow-credentials'], 'true');
        assert.match(headers.vary, /(^|, )Origin\b/);
        for (const name of ['ETag', 'Location', 'Content-Range', 'Retry-After']) {
          assert.match(headers['access-control-expose-headers'], new RegExp(`\\b${name}\\b`));
        }
      }
    });

    test(`which no other may: ${what}, ${status}`, async () => {
      const near = ['http://shop.example.com', `${SHOP}:8443`, `${SHOP}.evil.example`, 'https://other.example.com',
        'http://localhost:3000', 'null', '', `${SHOP}, ${EVIL}`, EVIL];
      for (const origin of near) {
        const { headers, ...answer } = await ask(target, options, origin);
        const isRefused = !['GET', 'HEAD', undefined].includes(options.method);
        assert.equal(answer.status, isRefused ? 403 : status, origin);
        for (const name of Object.keys(headers)) assert.doesNotMatch(name, /^access-control-/, origin);
        assert.match(headers.vary, /(^|, )Origin\b/);
      }
    });
  }

  test('may read that there is nothing new', async () => {
    const { headers } = await server.get(master);
    const answer = await ask(master, { headers: { 'if-none-match': headers.etag } }, SHOP);
    assert.equal(answer.status, 304);
    assert.equal(answer.headers['access-control-allow-origin'], SHOP);
  });

  test('may send chunks', async () => {
    const answer = await ask(await upload.url(0), { method: 'PUT', body: upload.chunk(0) }, SHOP);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], SHOP);
    assert.ok(answer.headers.etag);
  });

  const preflight = (target, method, headers, origin) =>
    ask(target, { method: 'OPTIONS', headers: { 'access-control-request-method': method, ...headers } }, origin);
  const calls = [
    ...doors.filter(({ kind }) => kind === 'http').map(({ method, target }) => [method, target('1')]),
    ['GET', '/socket.io/?EIO=4&transport=polling'],
    ['POST', '/socket.io/?EIO=4&transport=polling&sid=x'],
    ['PUT', '/uploads/1/0'],
    ['GET', '/videos/hls/1/master.m3u8'],
  ];
  for (const [method, target] of calls) {
    test(`are answered before they ask: ${method} ${target}`, async () => {
      const names = ['authorization', 'content-type', 'range', 'if-none-match', 'last-event-id', 'x-requested-with',
        'tus-resumable', 'traceparent'];
      const { status, headers } = await preflight(target, method, {
        'access-control-request-headers': `${names.join(',')}, bad name,@,,x-last`,
      }, SHOP);
      assert.equal(status, 204);
      assert.equal(headers['access-control-allow-origin'], SHOP);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.ok(headers['access-control-allow-methods'].split(', ').includes(method));
      assert.deepEqual(headers['access-control-allow-headers'].split(', '), [...names, 'x-last']);
      assert.ok(Number(headers['access-control-max-age']) > 0);
      assert.match(headers.vary, /(^|, )Origin\b/);
      const other = await preflight(target, method, {}, EVIL);
      for (const name of Object.keys(other.headers)) assert.doesNotMatch(name, /^access-control-/);
    });
  }

  test('get no more names back than fit', async () => {
    const names = [...Array(300).keys()].map((i) => `x-name-${i}`).join(',');
    const { headers } = await preflight('/api/jobs', 'GET', { 'access-control-request-headers': names }, SHOP);
    assert.ok(headers['access-control-allow-headers'].length <= 1024);
  });

  for (const { name, kind, target, transport } of doors) {
    if (kind !== 'websocket' && transport !== 'websocket') continue;
    test(`may connect, others are told why not: ${name}`, async () => {
      const path = withQuery(target(upload.id), `?token=${alice}`);
      for (const origin of [SHOP, APP, server.origin, undefined]) {
        const watcher = await server.watch(path, { headers: origin && { origin } });
        await watcher.settle();
        assert.equal(watcher.close, null, origin);
        watcher.drop();
      }
      for (const origin of [EVIL, 'null', 'http://localhost:3000', 'https://127.0.0.1', '']) {
        const answer = await server.request(path, { headers: { ...upgrade, origin } });
        assert.equal(answer.status, 403, origin);
        assert.equal(answer.json.error.code, 'origin_not_allowed');
        assert.ok(answer.json.error.message.includes(`"${origin}"`));
        assert.match(answer.json.error.message, /--cors-origin/);
      }
    });
  }
});

test('a listed page polls Socket.IO with credentials, another sends nothing', async (t) => {
  const server = await Server.during(t, { env: { WEBSOCKET_CORS_ORIGIN: `http://localhost:3000,${SHOP}` } });
  const target = '/socket.io/?EIO=4&transport=polling';
  const send = (sid, origin, body) => server.request(`${target}&sid=${sid}`, {
    method: 'POST', body, headers: { origin, 'content-type': 'text/plain;charset=UTF-8' } });
  for (const origin of ['http://localhost:3000', SHOP]) {
    const open = await server.request(target, { headers: { origin } });
    assert.equal(open.status, 200);
    const { sid } = JSON.parse(open.text.slice(1));
    const answers = [open, await send(sid, origin, '40/file-processing,'),
      await server.request(`${target}&sid=${sid}`, { headers: { origin } }),
      // Refusals, too, so that the client can tell them from a server that is gone.
      await server.request(`${target}&sid=none`, { headers: { origin } })];
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 400]);
    for (const { headers } of answers) {
      assert.equal(headers['access-control-allow-origin'], origin);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.match(headers.vary, /(^|, )Origin\b/);
    }
    const other = await send(sid, EVIL, '41/file-processing,');
    assert.equal(other.status, 403);
    assert.equal(other.json.error.code, 'origin_not_allowed');
    const still = await send(sid, origin, '3');
    assert.equal(still.status, 200);
  }
  const { headers } = await server.request(target, { headers: { origin: EVIL } });
  assert.equal(headers['access-control-allow-origin'], undefined);
});

describe('when any page may come', () => {
  let server;
  before(async () => (server = await Server.start({ args: ['--cors-origin', '*'] })));
  after(() => server.end());

  test('that is said without credentials', async () => {
    for (const origin of [EVIL, 'null', 'http://localhost:3000', undefined]) {
      const { headers } = await server.request('/api/jobs', { headers: origin && { origin } });
      assert.equal(headers['access-control-allow-origin'], '*', origin);
      assert.equal(headers['access-control-allow-credentials'], undefined, origin);
    }
    const watcher = await server.watch('/ws/progress', { headers: { origin: EVIL } });
    await watcher.leave();
    const answer = await server.request('/jobs/create', { method: 'POST', json: {}, headers: { origin: EVIL } });
    assert.equal(answer.status, 200);
  });

  test('it gets no token by that', async () => {
    for (const origin of [EVIL, 'null', 'http://localhost:3000']) {
      const answer = await server.request('/api/session', { method: 'POST', headers: { origin } });
      assert.equal(answer.status, 401, origin);
    }
  });
});

describe('when nothing is said about pages', () => {
  let server;
  let master;
  before(async () => {
    server = await Server.start();
    const { job } = await publish(server, { bytes: await clipBytes() });
    master = masterUrl(server, job);
  });
  after(() => server.end());

  const local = ['http://localhost:3000', 'http://127.0.0.1:5173', 'https://localhost', 'http://[::1]:8080',
    'http://app.localhost:3000'];

  test('those of this machine may come', async () => {
    for (const origin of local) {
      const { headers } = await server.request('/api/jobs', { headers: { origin } });
      assert.equal(headers['access-control-allow-origin'], origin);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      const watcher = await server.watch('/ws/progress', { headers: { origin } });
      await watcher.leave();
      const session = await server.request('/api/session', { method: 'POST', headers: { origin } });
      assert.equal(session.status, 200, origin);
    }
  });

  test('no others may, nor those of this machine through a proxy', async () => {
    const foreign = [{ origin: EVIL }, { origin: 'null' }, { origin: 'http://localhost.evil.example.com' },
      { origin: 'http://127.0.0.1.evil.example.com' }, { origin: 'http://evillocalhost' }, { origin: 'http://.localhost.evil' },
      { origin: 'chrome-extension://localhost' },
      { origin: local[0], 'x-forwarded-for': '192.0.2.1' }];
    for (const headers of foreign) {
      const answer = await server.request('/api/jobs', { headers });
      assert.equal(answer.headers['access-control-allow-origin'], undefined, JSON.stringify(headers));
      const socket = await server.request('/ws/progress', { headers: { ...upgrade, ...headers } });
      assert.equal(socket.status, 403, JSON.stringify(headers));
      // A form may be sent anywhere without asking first.
      const form = await server.request('/jobs/create', {
        method: 'POST', body: '{}', headers: { ...headers, 'content-type': 'text/plain' } });
      assert.equal(form.status, 403, JSON.stringify(headers));
    }
    assert.deepEqual((await server.get('/api/jobs')).json.jobs.filter(({ kind }) => kind === 'external'), []);
  });

  test('a published video may be played by any', async () => {
    for (const target of [master, '/videos/hls/none']) {
      for (const origin of [EVIL, 'null', undefined]) {
        const { headers } = await server.request(target, { headers: origin && { origin } });
        assert.equal(headers['access-control-allow-origin'], '*');
        assert.equal(headers['access-control-allow-credentials'], undefined);
      }
      const { headers } = await server.request(target, { headers: { origin: local[0] } });
      assert.equal(headers['access-control-allow-origin'], local[0]);
    }
    const { headers } = await server.request(master, {
      method: 'OPTIONS',
      headers: { origin: EVIL, 'access-control-request-method': 'GET', 'access-control-request-headers': 'range' },
    });
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.equal(headers['access-control-allow-headers'], 'range');
  });

  test('a name that a stranger had lead here is not this server\'s', async () => {
    for (const host of ['evil.example.com', `evil.example.com:${server.port}`, 'localhost.evil.example', '127.evil', 'evillocalhost']) {
      for (const [target, options] of [['/api/jobs', {}], ['/', {}], ['/jobs/create', { method: 'POST', json: {} }],
        ['/ws/progress', { headers: upgrade }]]) {
        const headers = { ...options.headers, host, origin: `http://${host}` };
        const answer = await server.request(target, { ...options, headers });
        assert.equal(answer.status, 421, `${host} ${target}`);
        assert.equal(answer.json.error.code, 'host_not_allowed');
      }
    }
    for (const host of ['localhost', 'LOCALHOST:3001', 'reelay.localhost:3001', '127.0.0.1', '127.1.2.3:1', '[::1]:3001']) {
      assert.equal((await server.request('/api/jobs', { headers: { host } })).status, 200, host);
    }
  });
});

test('a server is called as its --public-url says, and its pages are its own', async (t) => {
  const server = await Server.during(t, { args: ['--public-url', 'https://video.example.com/reelay'] });
  const get = (headers) => server.request('/api/jobs', { headers });
  assert.equal((await get({ host: 'video.example.com' })).status, 200);
  assert.equal((await get({ host: 'video.example.com:8443' })).status, 200);
  assert.equal((await get({ host: 'example.com' })).status, 421);
  const { headers } = await get({ origin: 'https://video.example.com' });
  assert.equal(headers['access-control-allow-origin'], 'https://video.example.com');
  const watcher = await server.watch('/ws/progress', { headers: { origin: 'https://video.example.com' } });
  await watcher.leave();
  const socket = await server.request('/ws/progress', { headers: { ...upgrade, origin: 'http://video.example.com' } });
  assert.equal(socket.status, 403);
});

test('a server that asks for tokens answers to any name', async (t) => {
  const server = await Server.during(t, { env: withSecret });
  const headers = { host: 'whatever.example.com' };
  assert.equal((await server.request('/api/jobs', { token: alice, headers })).status, 200);
  // Behind a proxy that ends TLS: the page is https, what comes here is not.
  const origin = 'https://whatever.example.com';
  const watcher = await server.watch(`/ws/progress?token=${alice}`, { headers: { ...headers, origin } });
  await watcher.leave();
  const other = await server.request(`/ws/progress?token=${alice}`, {
    headers: { ...headers, ...upgrade, origin: `${origin}:8443` } });
  assert.equal(other.status, 403);
});

describe('in Chromium', () => {
  let pages; // a server of pages, under whatever name leads to it
  let listed;
  let server;
  let browser;
  let master;

  before(async () => {
    pages = http.createServer((request, answer) => {
      answer.setHeader('content-type', 'text/html');
      answer.end('<!doctype html><title>a page</title>');
    });
    await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
    listed = `http://app.example.com:${pages.address().port}`;
    server = await Server.start({ args: ['--cors-origin', listed], env: withSecret });
    const { job } = await publish(server, { bytes: await clipBytes(), token: alice });
    master = masterUrl(server, job);
    browser = await launch({ args: ['--host-resolver-rules=MAP *.example.com 127.0.0.1'] });
  });
  after(async () => {
    await browser?.close();
    pages.close();
    await server.end();
  });

  // In a page: what a script gets to see.
  const tools = `
    globalThis.see = async (url, options) => {
      try {
        const answer = await fetch(url, { credentials: 'include', ...options });
        const body = await answer.text();
        const code = answer.ok ? '' : JSON.parse(body).error.code;
        return { status: answer.status, code, body, etag: answer.headers.get('etag'), range: answer.headers.get('content-range') };
      } catch (error) {
        return { status: 0, code: error.name };
      }
    };
    globalThis.connect = (url, protocols) => new Promise((resolve) => {
      const socket = new WebSocket(url, protocols);
      let first = null;
      socket.onmessage = ({ data }) => { first ??= data; resolve({ first, protocol: socket.protocol }); socket.close(); };
      socket.onopen = () => socket.send('ping');
      socket.onclose = ({ code }) => resolve({ code, first, protocol: socket.protocol });
    });`;
  async function pageOf(origin) {
    const page = await browser.newPage();
    await page.addInitScript(tools);
    await page.goto(`${origin}/health`);
    return page;
  }
  const requests = (token, upload, master) => ({
    list: ['/api/jobs', { headers: { authorization: `Bearer ${token}` } }],
    none: ['/api/jobs/none', { headers: { authorization: `Bearer ${token}` } }],
    refused: ['/api/jobs', { headers: { authorization: 'Bearer jwt-token', 'x-requested-with': 'test' } }],
    unknown: ['/nothing'],
    large: ['/jobs/create', {
      method: 'POST', body: 'x'.repeat(100_000), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } }],
    create: ['/jobs/create', {
      method: 'POST', body: '{}', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } }],
    report: ['/api/jobs/of-a-page/progress', {
      method: 'POST', body: '{"stage":"a","progress":0.5,"message":""}',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } }],
    cancel: ['/api/jobs/of-a-page', { method: 'DELETE', headers: { authorization: `Bearer ${token}` } }],
    chunk: [upload, { method: 'PUT', body: 'some bytes' }],
    unsigned: ['/uploads/1/0', { method: 'PUT', body: 'some bytes' }],
    playlist: [master],
    part: [master, { headers: { range: 'bytes=0-6' } }],
  });

  async function seeAll(page) {
    const upload = await Upload.create(server, { bytes: Buffer.alloc(40), token: alice });
    const seen = {};
    for (const [name, [target, options]] of Object.entries(requests(alice, await upload.url(0), master))) {
      const url = new URL(target, server.origin).href;
      seen[name] = await page.evaluate(([at, how]) => see(at, how), [url, options]);
    }
    return seen;
  }
  const connect = (page, target, protocols) =>
    page.evaluate(([url, offered]) => connect(url, offered), [`ws://${server.host}${target}`, protocols]);

  test('a listed page calls every door with credentials, and reads every refusal', async () => {
    const page = await pageOf(listed);
    const seen = await seeAll(page);
    const short = Object.fromEntries(Object.entries(seen).map(([name, { status, code }]) => [name, `${status} ${code}`.trim()]));
    assert.deepEqual(short, {
      list: '200', none: '404 not_found', refused: '401 token_required', unknown: '404 not_found',
      large: '413 CONTENT_TOO_LARGE', create: '200', report: '200', cancel: '202', chunk: '200',
      unsigned: '403 url_invalid', playlist: '200', part: '206',
    });
    assert.ok(seen.chunk.etag, 'the ETag can be read');
    assert.match(seen.part.range, /^bytes 0-6\//);
    assert.equal(seen.part.body, '#EXTM3U');
    await page.close();
  });

  test('a page of another origin reads nothing, and changes nothing', async () => {
    for (const origin of [
      listed.replace('app', 'evil'), `http://app.example.com:${server.port}`, `http://localhost:${server.port}`]) {
      const before = (await server.get('/api/jobs?limit=200', alice)).json.jobs.length;
      const page = await pageOf(origin);
      const seen = await seeAll(page);
      for (const [name, { status }] of Object.entries(seen)) assert.equal(status, 0, `${origin} ${name}`);
      // A request that browsers let out without asking first.
      const url = `${server.origin}/jobs/create?token=${alice}`;
      await page.evaluate((at) => fetch(at, { method: 'POST', mode: 'no-cors', body: '{}' }), url);
      const after = (await server.get('/api/jobs?limit=200', alice)).json.jobs.length;
      assert.equal(after, before + 1, 'only what the test created itself');
      await page.close();
    }
  });

  test('a WebSocket opens from a listed page, and from no other', async () => {
    const app = await pageOf(listed);
    const pong = { first: 'pong', protocol: '' };
    assert.deepEqual(await connect(app, `/ws/progress?token=${alice}`), pong);
    assert.deepEqual(await connect(app, '/ws/progress', ['bearer', alice]), { ...pong, protocol: 'bearer' });
    assert.deepEqual(await connect(app, '/ws/progress', [alice]), { ...pong, protocol: alice });
    assert.equal((await connect(app, '/ws/progress')).code, 4001);
    assert.equal((await connect(app, '/ws/progress', ['bearer', 'jwt-token'])).code, 4001);
    assert.equal((await connect(app, '/ws/progress?token=jwt-token')).code, 4001);
    await app.close();
    for (const origin of [listed.replace('app', 'evil'), `http://localhost:${server.port}`]) {
      const page = await pageOf(origin);
      for (const { kind, target, transport } of doors) {
        if (kind !== 'websocket' && transport !== 'websocket') continue;
        const { code } = await connect(page, withQuery(target('1'), `?token=${alice}`));
        assert.equal(code, 1006, `${origin} ${target('1')}`);
      }
      await page.close();
    }
    const own = await pageOf(server.origin);
    assert.deepEqual(await connect(own, `/ws/progress?token=${alice}`), pong);
    await own.close();
  });

  test('with nothing said, a page on this machine does all of it and a name that leads here nothing', async (t) => {
    const open = await Server.during(t);
    const dev = await pageOf(listed.replace('app.example.com', 'localhost'));
    const at = (target) => `${open.origin}${target}`;
    const see = (page, target, options) => page.evaluate(([url, how]) => see(url, how), [target, options]);
    const session = await see(dev, at('/api/session'), { method: 'POST' });
    assert.equal(session.status, 200);
    const { token } = JSON.parse(session.body);
    const created = await see(dev, at('/streaming/create-video/'), {
      method: 'POST', body: '{"title":"a"}', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } });
    assert.equal(created.status, 201);
    const said = await dev.evaluate((url) => connect(url), `ws://${open.host}/ws/progress`);
    assert.equal(said.first, 'pong');
    await dev.close();

    const rebound = await pageOf(`http://rebound.example.com:${open.port}`);
    const own = (target) => `http://rebound.example.com:${open.port}${target}`;
    const list = await see(rebound, own('/api/jobs'));
    assert.deepEqual([list.status, list.code], [421, 'host_not_allowed']);
    assert.equal((await see(rebound, own('/api/session'), { method: 'POST' })).status, 421);
    const socket = await rebound.evaluate((url) => connect(url), `ws://rebound.example.com:${open.port}/ws/progress`);
    assert.equal(socket.code, 1006);
    await rebound.close();
  });
});
