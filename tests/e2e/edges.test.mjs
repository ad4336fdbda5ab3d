// What the API says at its edges.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Server, reelay, temporaryFolder } from '../support/server.mjs';

describe('at the edges', () => {
  let server;
  before(async () => (server = await Server.start()));
  after(() => server.end());

  for (const door of ['/ws/progress', '/ws/jobs/1', '/ws/download/1', '/socket/stream/progress/1/']) {
    test(`a door that is asked with HEAD names what it allows: ${door}`, async () => {
      const answer = await server.request(door, { method: 'HEAD' });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.allow, 'GET');
    });
  }

  test('a path that nothing has is not there, whatever the method; one that something has says what it takes', async () => {
    const status = async (method, path) => (await server.request(path, { method })).status;
    assert.equal(await status('POST', '/streaming/create-videos/'), 404);
    assert.equal(await status('POST', `/api/jobs/${'x'.repeat(200)}/progress`), 404);
    assert.equal(await status('DELETE', '/nowhere'), 404);
    assert.equal(await status('POST', '/'), 405);
    assert.equal(await status('GET', '/rpc/uploadVideo'), 405);
    assert.equal(await status('POST', '/videos/hls/a/master.m3u8'), 405);
    assert.equal(await status('GET', '/streaming/create-video/'), 405);
  });

  test('whoever wants to send requests here is told that they may', async () => {
    const answer = await server.get('/ready');
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { status: 'ready' });
  });

  test('a job that has begun cannot be reported as queued, and is not called ended', async () => {
    await server.report('begun', { progress: 0.5 });
    const answer = await server.post('/api/jobs/begun/progress', { status: 'queued' });
    assert.equal(answer.status, 409);
    assert.equal(answer.json.error.code, 'already_begun');
    assert.equal((await server.job('begun')).state, 'processing');
  });

  // A C string would end at a NUL, and the rest be lost without a word.
  for (const body of ['{"stage":"a\\u0000b"}', '{"sta\\u0000ge":"a"}', '{"metadata":{"a":"\\u0000"}}']) {
    test(`a NUL in a report is refused: ${body}`, async () => {
      const answer = await server.request('/api/jobs/nul/progress', { method: 'POST', body });
      assert.equal(answer.status, 400);
      assert.equal(answer.json.error.code, 'invalid_json');
      assert.equal(await server.job('nul'), null);
    });
  }
});

describe('a server that would do nothing useful says so instead of starting', () => {
  const cases = [
    [['--listen', ''], /--listen: an address is missing/],
    [['--cors-origin', 'https://*.example'], /--cors-origin: "https:\/\/\*\.example" is not an origin/],
    [['--cors-origin', 'app.example'], /--cors-origin: "app\.example" is not an origin/],
    [['--cors-origin', 'https://a.example,https://b.example/'], /--cors-origin: "https:\/\/b\.example\/"/],
    [['--engine', 'rediss://127.0.0.1:1', '--redis-ca-file', '/nonexistent/ca.pem'],
      /--redis-ca-file: \/nonexistent\/ca\.pem: No such file/],
  ];
  for (const [args, expected] of cases) {
    test(args.join(' '), async (t) => {
      const dataDir = temporaryFolder();
      t.after(() => rmSync(dataDir, { recursive: true, force: true }));
      const given = args[0] === '--listen' ? args : ['--listen', '127.0.0.1:0', ...args];
      const end = await reelay(['serve', '--data-dir', dataDir, ...given], { timeout: 20_000 });
      assert.equal(end.status, 1);
      assert.match(end.stderr, expected);
    });
  }
});
