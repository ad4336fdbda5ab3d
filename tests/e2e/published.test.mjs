// Published files over HTTP: whole, in part, on condition, and no others.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { masterUrl, playlists } from '../support/hls.mjs';
import { Server } from '../support/server.mjs';
import { publish } from '../support/upload.mjs';

const ORIGIN = 'https://shop.example.com';

describe('published files', () => {
  let server;
  let master;
  let segment;
  let whole;

  before(async () => {
    server = await Server.start({ env: { ALLOWED_ORIGINS: `https://first.example.com,${ORIGIN}` } });
    const { job } = await publish(server, { bytes: await clipBytes({ seconds: 3 }) });
    master = masterUrl(server, job);
    segment = (await playlists(server, master))[0].segments[0];
    whole = await server.get(segment);
  });
  after(() => server.end());

  const get = (headers, method = 'GET') => server.request(segment, { headers, method });

  test('a segment has its type, its length, a strong ETag and a date', () => {
    assert.equal(whole.status, 200);
    assert.match(whole.headers['content-type'], /^video\//);
    assert.equal(Number(whole.headers['content-length']), whole.body.length);
    assert.match(whole.headers.etag, /^"[^"]+"$/);
    assert.ok(Date.parse(whole.headers['last-modified']) > 0);
    assert.equal(whole.headers['accept-ranges'], 'bytes');
  });

  test('a playlist has its type', async () => {
    const answer = await server.get(master);
    assert.match(answer.headers['content-type'], /^application\/vnd\.apple\.mpegurl/);
  });

  test('HEAD says the same and sends nothing', async () => {
    const head = await get({}, 'HEAD');
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    for (const name of ['content-length', 'content-type', 'etag', 'last-modified', 'accept-ranges']) {
      assert.equal(head.headers[name], whole.headers[name], name);
    }
  });

  const ranges = [
    ['bytes=0-0', (size) => [0, 0]],
    ['bytes=0-99', (size) => [0, 99]],
    ['bytes=100-', (size) => [100, size - 1]],
    ['bytes=-50', (size) => [size - 50, size - 1]],
    ['bytes=10-99999999', (size) => [10, size - 1]],
  ];
  for (const [range, expect] of ranges) {
    test(`Range: ${range}`, async () => {
      const [first, last] = expect(whole.body.length);
      const answer = await get({ range });
      assert.equal(answer.status, 206);
      assert.equal(answer.headers['content-range'], `bytes ${first}-${last}/${whole.body.length}`);
      assert.deepEqual(answer.body, whole.body.subarray(first, last + 1));
    });
  }

  test('a range behind the end is 416 and says how long the file is', async () => {
    const answer = await get({ range: `bytes=${whole.body.length}-` });
    assert.equal(answer.status, 416);
    assert.equal(answer.headers['content-range'], `bytes */${whole.body.length}`);
  });

  test('ranges that are not understood are answered whole', async () => {
    for (const range of ['lines=1-2', 'bytes=a-b', 'bytes=5-2', 'bytes=0-1,5-6']) {
      const answer = await get({ range });
      assert.equal(answer.status, 200, range);
      assert.equal(answer.body.length, whole.body.length);
    }
  });

  test('what a client has already is not sent again', async () => {
    const { etag, 'last-modified': date } = whole.headers;
    for (const headers of [
      { 'if-none-match': etag },
      { 'if-none-match': `"other", ${etag}` },
      { 'if-none-match': `W/${etag}` },
      { 'if-none-match': '*' },
      { 'if-modified-since': date },
    ]) {
      const answer = await get(headers);
      assert.equal(answer.status, 304, JSON.stringify(headers));
      assert.equal(answer.body.length, 0);
      assert.equal(answer.headers.etag, etag);
    }
    assert.equal((await get({ 'if-none-match': '"other"' })).status, 200);
    assert.equal((await get({ 'if-modified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' })).status, 200);
    // If-None-Match decides when both are there.
    assert.equal((await get({ 'if-none-match': '"other"', 'if-modified-since': date })).status, 200);
  });

  test('conditions that do not hold', async () => {
    assert.equal((await get({ 'if-match': '"other"' })).status, 412);
    assert.equal((await get({ 'if-match': whole.headers.etag })).status, 200);
    assert.equal((await get({ 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' })).status, 412);
    const range = 'bytes=0-9';
    assert.equal((await get({ range, 'if-range': whole.headers.etag })).status, 206);
    assert.equal((await get({ range, 'if-range': '"other"' })).status, 200);
  });

  test('pages of the configured origins may read it, others not', async () => {
    const allowed = await get({ origin: ORIGIN });
    assert.equal(allowed.headers['access-control-allow-origin'], ORIGIN);
    assert.equal(allowed.headers['access-control-allow-credentials'], 'true');
    assert.match(allowed.headers.vary, /\bOrigin\b/i);
    const other = await get({ origin: 'https://evil.example.com' });
    assert.equal(other.headers['access-control-allow-origin'], undefined);
    assert.match(other.headers.vary, /\bOrigin\b/i);
    const preflight = await server.request('/streaming/create-video/', {
      method: 'OPTIONS',
      headers: { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    assert.ok(preflight.status < 300);
    assert.match(preflight.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(preflight.headers['access-control-allow-headers'], /authorization/i);
  });

  test('only reading is allowed', async () => {
    for (const method of ['PUT', 'POST', 'DELETE']) {
      assert.ok([403, 404, 405].includes((await get({}, method)).status), method);
    }
    assert.equal((await get({})).body.length, whole.body.length);
  });

  // Sent by hand: a client library would tidy them up.
  const rawGet = (target) =>
    new Promise((resolve, reject) => {
      const socket = net.connect(server.port, '127.0.0.1', () =>
        socket.write(`GET ${target} HTTP/1.1\r\nHost: ${server.host}\r\nConnection: close\r\n\r\n`),
      );
      let text = '';
      socket.on('data', (data) => (text += data.toString('latin1')));
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });

  const outside = [
    '/videos/hls/../../../reelay.db',
    '/videos/../../../../../../../../etc/passwd',
    '/videos/hls/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/videos/hls/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
    '/videos/hls/%252e%252e/%252e%252e/etc/passwd',
    '/videos//etc/passwd',
    '/videos/hls//../..//etc/passwd',
    '/videos/hls/..\\..\\..\\etc\\passwd',
    '/videos/hls/%00/etc/passwd',
    '/videos/hls/.',
    '/videos/hls/',
    '/videos/hls',
    '/videos/hls/%ff%fe',
    '/../../../../etc/passwd',
  ];
  for (const target of outside) {
    test(`nothing is read at ${target}`, async () => {
      const answer = await rawGet(target);
      assert.match(answer, /^HTTP\/1\.1 (400|403|404) /);
      assert.doesNotMatch(answer, /root:|SQLite/);
    });
  }
});
