// The URLs that chunks are sent to: each allows one thing, for a while.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';

describe('presigned URLs', () => {
  let server;
  let upload;

  before(async () => {
    server = await Server.start();
    upload = await Upload.create(server, { bytes: await clipBytes(), chunks: 4 });
  });
  after(() => server.end());

  const put = (url, body = upload.chunk(0)) => server.request(url, { method: 'PUT', body });

  // The URL with one parameter of its query changed.
  const altered = (url, name, change) => {
    const other = new URL(url);
    const value = other.searchParams.get(name);
    assert.ok(value !== null, `no ${name} in ${url}`);
    other.searchParams.set(name, change(value));
    return other;
  };

  test('an URL is absolute, leads here and needs no other credential', async () => {
    const url = new URL(await upload.url(0));
    assert.equal(url.host, server.host);
    assert.equal((await put(url)).status < 300, true);
  });

  const forged = [
    ['a changed signature', (url) => altered(url, 'sig', (sig) => sig.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')))],
    ['a signature cut short', (url) => altered(url, 'sig', (sig) => sig.slice(0, -2))],
    ['a longer life', (url) => altered(url, 'expires', (at) => String(Number(at) + 3600))],
    ['a higher limit', (url) => altered(url, 'max', (max) => String(Number(max) * 2))],
    ['another chunk', (url) => new URL(url.replace(/\/0\?/, '/1?'))],
    ['no query', (url) => new URL(url.split('?')[0])],
  ];
  for (const [what, forge] of forged) {
    test(`${what} is refused`, async () => {
      const url = await upload.url(0);
      const other = forge(url);
      assert.notEqual(other.href, url);
      const before = (await upload.status()).chunks.length;
      const answer = await put(other, upload.chunk(1));
      assert.ok([400, 401, 403].includes(answer.status), `${answer.status} ${answer.text}`);
      assert.equal((await upload.status()).chunks.length, before);
    });
  }

  test('an URL for PUT does not read', async () => {
    const url = await upload.url(0);
    for (const method of ['GET', 'DELETE', 'POST']) {
      const answer = await server.request(url, { method });
      assert.ok([403, 404, 405].includes(answer.status), `${method}: ${answer.status}`);
    }
  });

  test('more bytes than were allowed are refused, announced or not', async () => {
    const url = new URL(await upload.url(2));
    const max = Number(url.searchParams.get('max'));
    // Announced: refused before they are sent.
    const announced = await new Promise((resolve, reject) => {
      const request = http.request(url, { method: 'PUT', agent: false, headers: { 'content-length': max + 1 } });
      request.on('response', (answer) => {
        resolve(answer.statusCode);
        request.destroy();
      });
      request.on('error', reject);
      request.flushHeaders();
    });
    assert.equal(announced, 413);
    assert.ok(!(await upload.present()).includes(2));
  });

  test('an URL expires', async (t) => {
    const own = await Server.during(t, { args: ['--url-ttl', '1s'] });
    const short = await Upload.create(own, { bytes: upload.bytes });
    const url = new URL(await short.url(0));
    const expires = Number(url.searchParams.get('expires')) * 1000;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, expires - Date.now()) + 1100));
    const answer = await own.request(url, { method: 'PUT', body: short.chunk(0) });
    assert.equal(answer.status, 403, answer.text);
    assert.deepEqual(await short.present(), []);
  });

  test('an URL of another server is refused', async (t) => {
    const other = await Server.during(t);
    const foreign = new URL(await upload.url(0));
    foreign.host = other.host;
    const answer = await other.request(foreign, { method: 'PUT', body: upload.chunk(0) });
    assert.ok([403, 404].includes(answer.status), `${answer.status}`);
  });

  test('an URL outlives a restart', async (t) => {
    const own = await Server.during(t);
    const lasting = await Upload.create(own, { bytes: upload.bytes });
    const url = await lasting.url(0);
    await own.stop();
    await own.start();
    assert.ok((await own.request(url, { method: 'PUT', body: lasting.chunk(0) })).status < 300);
  });
});
