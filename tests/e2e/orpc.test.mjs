// A video in one request: the real oRPC client in node and in a browser, curl, a
// plain form, and everything that can be wrong about one.
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { createORPCClient, ORPCError } from '@orpc/client';
import { RPCLink } from '@orpc/client/fetch';

import { bundle, launch, openPage } from '../support/browser.mjs';
import { clip, clipBytes } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { Server } from '../support/server.mjs';
import { randomOf, seed, waitFor } from '../support/wait.mjs';

const run = promisify(execFile);
const SECONDS = 3;
// Node 18 has it, but not where the client looks for it.
globalThis.File ??= File;

const MiB = 1024 * 1024;

const clientOf = (server, { prefix = '/rpc', token } = {}) =>
  createORPCClient(new RPCLink({
    url: `${server.origin}${prefix}`,
    headers: token ? { authorization: `Bearer ${token}` } : {},
  }));

const fileOf = (bytes, name = 'clip.mp4') => new File([bytes], name, { type: 'video/mp4' });

const ended = (server, id, token) =>
  waitFor(
    async () => {
      const job = await server.job(id, token);
      return ['completed', 'failed', 'cancelled'].includes(job?.state) && job;
    },
    `job ${id} to end`,
    { timeout: 180_000, every: 50 },
  );

async function complete(server, id, token) {
  const job = await ended(server, id, token);
  assert.equal(job.state, 'completed', JSON.stringify(job));
  return job;
}

const jobs = async (server) => (await server.get('/api/jobs?limit=100')).json.jobs;

// Everything received and not yet cleared away, below the data directory.
function received(server) {
  const folder = path.join(server.dataDir, 'uploads');
  return existsSync(folder) ? readdirSync(folder) : [];
}

const nothingLeft = (server) => waitFor(() => received(server).length === 0, 'nothing to be left of it');

// What the client throws.
async function refusal(promise) {
  const error = await promise.then(
    (value) => assert.fail(`not refused: ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof ORPCError, String(error?.stack ?? error));
  return error;
}

// A body as it stands, byte by byte ours.
const post = (server, body, { type = 'multipart/form-data; boundary=B', target = '/rpc/uploadVideo', ...rest } = {}) =>
  server.request(target, { method: 'POST', body, headers: { 'content-type': type }, ...rest });

const part = (name, content, { file, more = '' } = {}) => Buffer.concat([
  Buffer.from(`--B\r\nContent-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}\r\n${more}\r\n`),
  Buffer.from(content),
  Buffer.from('\r\n'),
]);
const end = Buffer.from('--B--\r\n');
const form = (...parts) => Buffer.concat([...parts, end]);
const data = (value) => part('data', typeof value === 'string' ? value : JSON.stringify(value));
const input = { json: { file: {} }, maps: [['file']] };

// The same video with `size` bytes that mean nothing behind it (a "free" box).
function padded(bytes, size) {
  const box = Buffer.alloc(size);
  box.writeUInt32BE(size);
  box.write('free', 4);
  return Buffer.concat([bytes, box]);
}

// Sends a head and what `body` yields; { status, json, error }.
function stream(server, headers, body, target = '/rpc/uploadVideo') {
  return new Promise((resolve) => {
    const request = http.request(new URL(target, server.origin), {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'multipart/form-data; boundary=B', ...headers },
    });
    let done = false;
    const stopped = new Promise((stop) => request.once('response', stop).once('close', stop));
    request.on('response', (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        done = true;
        request.destroy();
        resolve({ status: answer.statusCode, json: JSON.parse(Buffer.concat(pieces)) });
      });
    });
    request.on('error', (error) => !done && resolve({ error }));
    (async () => {
      for await (const piece of body) {
        if (done || request.destroyed) return;
        if (request.write(piece)) continue;
        await Promise.race([stopped, new Promise((go) => request.once('drain', go))]);
      }
      request.end();
    })();
  });
}

describe('uploadVideo', () => {
  let server;
  let bytes;

  before(async () => {
    server = await Server.start();
    bytes = await clipBytes({ seconds: SECONDS });
  });
  after(() => server.end());

  test('of the real client becomes a video that is watched under its id', async () => {
    const { videoId, ...rest } = await clientOf(server).uploadVideo({ file: fileOf(bytes, 'Ärger "1".mp4') });
    assert.deepEqual(rest, {});
    assert.equal(typeof videoId, 'string');
    const watcher = await server.watchDownload(videoId);
    await watcher.until((message) => message.data?.status === 'completed', 'completed');
    watcher.drop();
    const job = await complete(server, videoId);
    assert.equal(job.title, 'Ärger "1".mp4');
    assert.equal(job.kind, 'upload');
    await verify(server, job, SECONDS);
    await nothingLeft(server);
  });

  test('goes through the same stages as an upload in chunks', async () => {
    const file = fileOf(await clipBytes({ seconds: 10, size: '640x360' }));
    const all = await server.watchAll();
    const { videoId } = await clientOf(server).uploadVideo({ file });
    const watcher = await server.watchStream(videoId, await server.token());
    await watcher.until((message) => message.type === 'complete', 'complete', { timeout: 180_000 });
    const { messages } = watcher;
    const stages = messages.filter(({ type }) => type === 'progress').map(({ stage }) => stage);
    assert.deepEqual([...new Set(stages)].filter((stage) => !['assembling', 'converting'].includes(stage)), []);
    assert.ok(messages.some(({ message }) => message === 'FFmpeg conversion running'));
    await all.until((message) => String(message.video_id) === videoId && message.status === 'complete', 'the end');
    watcher.drop();
    all.drop();
  });

  for (const [what, prefix, call] of [
    ['/orpc', '/orpc', (client, value) => client.uploadVideo(value)],
    ['/api/rpc', '/api/rpc', (client, value) => client.uploadVideo(value)],
    ['/api/orpc', '/api/orpc', (client, value) => client.uploadVideo(value)],
    ['/api', '/api', (client, value) => client.uploadVideo(value)],
    ['the root', '', (client, value) => client.uploadVideo(value)],
    ['a nested router', '/rpc', (client, value) => client.video.uploadVideo(value)],
  ]) {
    test(`is also at ${what}`, async () => {
      const { videoId } = await call(clientOf(server, { prefix }), { file: fileOf(bytes) });
      await complete(server, videoId);
    });
  }

  test('takes a Blob that has no name, and a title', async () => {
    const { videoId } = await clientOf(server).uploadVideo({ title: 'A walk', file: new Blob([bytes]) });
    assert.equal((await complete(server, videoId)).title, 'A walk');
  });

  test('of curl is one line', async () => {
    const { stdout } = await run('curl', [
      '-sS', '-F', `file=@${await clip({ seconds: SECONDS })};filename=walk.mp4`, '-F', 'title=By curl',
      `${server.origin}/rpc/uploadVideo`]);
    const answer = JSON.parse(stdout);
    assert.deepEqual(answer, { json: { videoId: answer.json.videoId }, meta: [] });
    const job = await complete(server, answer.json.videoId);
    assert.equal(job.title, 'By curl');
    await verify(server, job, SECONDS);
  });

  for (const [what, body] of [
    ['behind its data', () => form(data(input), part('0', bytes, { file: 'a.mp4' }))],
    ['before its data', () => form(part('0', bytes, { file: 'a.mp4' }), data(input))],
    ['between other fields', () => form(part('x', '1'), data(input), part('0', bytes, { file: 'a.mp4' }), part('y', '2'))],
    ['with meta', () => form(data({ ...input, meta: [[1, 'when']] }), part('0', bytes, { file: 'a.mp4' }))],
    ['of a plain form', () => form(part('title', ''), part('file', bytes, { file: 'C:\\videos\\a.mp4' }))],
  ]) {
    test(`takes the file ${what}`, async () => {
      const answer = await post(server, body());
      assert.equal(answer.status, 200, answer.text);
      assert.equal((await complete(server, answer.json.json.videoId)).title, 'a.mp4');
    });
  }

  test('takes a body of unknown length, in pieces of any size', async () => {
    const random = randomOf(seed);
    const body = form(data(input), part('0', bytes, { file: 'a.mp4' }));
    async function* pieces() {
      for (let at = 0; at < body.length;) {
        const size = random() < 0.5 ? 1 + Math.floor(random() * 100) : 1 + Math.floor(random() * 60_000);
        yield body.subarray(at, (at += size));
      }
    }
    const { status, json } = await stream(server, { 'transfer-encoding': 'chunked' }, pieces());
    assert.equal(status, 200, `${JSON.stringify(json)} SEED=${seed}`);
    await verify(server, await complete(server, json.json.videoId), SECONDS);
  });

  test('may be called by many at once', async () => {
    const client = clientOf(server);
    const ids = await Promise.all([...Array(12).keys()].map(async (n) =>
      (await client.uploadVideo({ file: fileOf(bytes, `${n}.mp4`) })).videoId));
    assert.equal(new Set(ids).size, 12);
    for (const [n, id] of ids.entries()) assert.equal((await complete(server, id)).title, `${n}.mp4`);
    await nothingLeft(server);
  });

  test('holds no large file in memory', { timeout: 300_000 }, async (t) => {
    // What was freed must not be kept to be looked at.
    const ASAN_OPTIONS = `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=1`;
    const server = await Server.during(t, { env: { ASAN_OPTIONS } });
    const body = form(data(input), part('0', padded(bytes, 300 * MiB), { file: 'large.mp4' }));
    async function* pieces() {
      for (let at = 0; at < body.length; at += MiB) yield body.subarray(at, at + MiB);
    }
    const peak = () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
    const before = peak();
    const { status, json } = await stream(server, { 'content-length': body.length }, pieces());
    const grown = peak() - before;
    assert.equal(status, 200, JSON.stringify(json));
    // The sanitizers have memory of their own; a tenth of the file would still be far more.
    assert.ok(grown < 24 * 1024, `grown by ${grown} KiB`);
    await verify(server, await complete(server, json.json.videoId), SECONDS);
    await nothingLeft(server);
  });

  // From here on: what is refused leaves neither a file nor a job.
  const F = { file: 'a.mp4' };
  const malformed = [
    ['no boundary in Content-Type', () => form(data(input)), 400, null, { type: 'multipart/form-data' }],
    ['another type', () => Buffer.from('hello'), 415, null, { type: 'text/plain' }],
    ['JSON', () => Buffer.from('{"json":{}}'), 400, 'file', { type: 'application/json' }],
    ['nothing at all', () => Buffer.alloc(0), 400, null],
    ['another boundary', () => Buffer.from('--C\r\n\r\n--C--\r\n'), 400, null],
    ['no last boundary', () => Buffer.concat([data(input), part('0', bytes, F)]), 400, null],
    ['half of the last boundary', () => Buffer.concat([data(input), part('0', bytes, F), Buffer.from('--B-')]), 400, null],
    ['no file', () => form(data(input)), 400, 'file'],
    ['two files', () => form(data(input), part('0', bytes, F), part('1', bytes, F)), 400, 'file'],
    ['the same file twice', () => form(data(input), part('0', bytes, F), part('0', bytes, F)), 400, 'file'],
    ['a file in another field', () => form(part('video', bytes, F)), 400, 'file'],
    ['a file without data', () => form(part('0', bytes, F)), 400, 'data'],
    ['data twice', () => form(data(input), data(input), part('0', bytes, F)), 400, 'data'],
    ['data that is not JSON', () => form(data('{"json":'), part('0', bytes, F)), 400, 'data'],
    ['data that is no object', () => form(data('[]'), part('0', bytes, F)), 400, 'data'],
    ['data of many bytes', () => form(data(`{"json":"${'x'.repeat(70_000)}"}`), part('0', bytes, F)), 400, 'data'],
    ['data of great depth', () => form(data(`{"json":${'['.repeat(30_000)}${']'.repeat(30_000)}}`), part('0', bytes, F)), 400, 'data'],
    ['no maps', () => form(data({ json: { file: {} } }), part('0', bytes, F)), 400, 'file'],
    ['maps that are no list', () => form(data({ ...input, maps: { 0: ['file'] } }), part('0', bytes, F)), 400, 'file'],
    ['maps of text', () => form(data({ ...input, maps: ['file'] }), part('0', bytes, F)), 400, 'file'],
    ['maps that lead nowhere', () => form(data({ json: {}, maps: [['file']] }), part('0', bytes, F)), 400, 'file'],
    ['maps that lead elsewhere', () => form(data({ json: { clip: {} }, maps: [['clip']] }), part('0', bytes, F)), 400, 'file'],
    ['maps that lead too deep', () => form(data({ ...input, maps: [['file', 0]] }), part('0', bytes, F)), 400, 'file'],
    ['maps to the whole input', () => form(data({ json: {}, maps: [[]] }), part('0', bytes, F)), 400, 'file'],
    ['maps to a prototype', () => form(data('{"json":{"__proto__":{}},"maps":[["__proto__"]]}'), part('0', bytes, F)), 400, 'file'],
    ['maps through a prototype', () => form(data({ json: {}, maps: [['constructor', 'prototype']] }), part('0', bytes, F)), 400, 'file'],
    ['a key twice', () => form(data('{"json":{"file":{}},"json":{},"maps":[["file"]]}'), part('0', bytes, F)), 400, 'data'],
    ['a title that is no text', () => form(data({ json: { file: {}, title: 7 }, maps: [['file']] }), part('0', bytes, F)), 400, 'title'],
    ['a title of many bytes', () => form(part('title', 'x'.repeat(5000)), part('file', bytes, F)), 400, 'title'],
    ['a title that is not UTF-8', () => form(part('title', Buffer.from([0xff])), part('file', bytes, F)), 400, 'title'],
    ['headers of many bytes', () => form(part('file', bytes, { file: 'x'.repeat(9000) })), 400, null],
    ['many headers', () => form(part('file', bytes, { ...F, more: 'X: y\r\n'.repeat(20) })), 400, null],
    ['a header that goes on', () => form(part('file', bytes, { ...F, more: 'X: y\r\n z\r\n' })), 400, null],
    ['many parts', () => form(...[...Array(20).keys()].map((n) => part(`x${n}`, '')), part('file', bytes, F)), 400, null],
    ['many bytes beside the file', () => form(part('x', Buffer.alloc(70_000)), part('file', bytes, F)), 400, null],
    ['an encoded file', () => form(part('file', bytes.toString('base64'), { ...F, more: 'Content-Transfer-Encoding: base64\r\n' })), 400, null],
    ['no name', () => Buffer.from('--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n'), 400, null],
    ['an empty file', () => form(data(input), part('0', '', F)), 422, 'file'],
    ['no file chosen', () => form(part('file', '', { file: '' })), 422, 'file'],
    ['text', () => form(part('file', 'hello', { file: 'a.mp4' })), 415, 'file'],
    ['a playlist', () => form(part('file', '#EXTM3U\nfile:///etc/passwd\n', { file: 'a.mp4' })), 415, 'file'],
  ];
  for (const [what, body, status, field, options] of malformed) {
    test(`${what} is refused and leaves nothing`, async () => {
      const known = (await jobs(server)).length;
      const answer = await post(server, body(), options);
      assert.equal(answer.status, status, answer.text);
      const { json, meta } = answer.json;
      assert.deepEqual(meta, []);
      assert.equal(json.defined, false);
      assert.equal(json.status, status);
      assert.equal(json.code, { 400: 'BAD_REQUEST', 415: 'UNSUPPORTED_MEDIA_TYPE', 422: 'UNPROCESSABLE_CONTENT' }[status]);
      assert.ok(json.message.length > 0);
      assert.equal(json.data?.field ?? null, field, answer.text);
      assert.equal((await jobs(server)).length, known);
      await nothingLeft(server);
    });
  }

  test('a refusal is an ORPCError of the real client', async () => {
    const client = clientOf(server);
    const empty = await refusal(client.uploadVideo({ file: fileOf('') }));
    assert.deepEqual([empty.code, empty.status, empty.data], ['UNPROCESSABLE_CONTENT', 422, { field: 'file' }]);
    const none = await refusal(client.uploadVideo({}));
    assert.deepEqual([none.code, none.status, none.data], ['BAD_REQUEST', 400, { field: 'file' }]);
    assert.equal((await refusal(client.downloadVideo({ file: fileOf(bytes) }))).code, 'NOT_FOUND');
    assert.equal((await refusal(client.uploadVideo.raw({ file: fileOf(bytes) }))).code, 'NOT_FOUND');
  });

  test('what is no video is refused before the rest of it has come', async () => {
    const size = 200 * MiB;
    let sent = 0;
    async function* pieces() {
      yield Buffer.from('--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n');
      for (; sent < size; sent += MiB) yield Buffer.alloc(MiB, 'x');
    }
    const { status, json } = await stream(server, { 'content-length': size * 2 }, pieces());
    assert.equal(status, 415);
    assert.equal(json.json.code, 'UNSUPPORTED_MEDIA_TYPE');
    assert.ok(sent < size / 2, `${sent} bytes were taken`);
    const file = new File([Buffer.alloc(48 * MiB, 'x')], 'a.mp4');
    assert.equal((await refusal(clientOf(server).uploadVideo({ file }))).status, 415);
    await nothingLeft(server);
  });

  test('a connection that breaks off leaves neither a file nor a job', async () => {
    const known = (await jobs(server)).length;
    const body = form(data(input), part('0', padded(bytes, 4 * MiB), F));
    for (const cut of [10, 200, 1000, MiB, 3 * MiB, body.length - 1]) {
      const request = http.request(new URL('/rpc/uploadVideo', server.origin), {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'multipart/form-data; boundary=B', 'content-length': body.length },
      });
      const closed = new Promise((resolve) => request.on('close', resolve));
      request.on('error', () => {});
      request.write(body.subarray(0, cut));
      if (cut > 300) await waitFor(() => received(server).length > 0, 'the file to be begun');
      request.destroy();
      await closed;
      await nothingLeft(server);
    }
    assert.equal((await jobs(server)).length, known);
  });

  test('a page of another origin cannot make a browser upload', async () => {
    const body = form(part('file', bytes, F));
    const send = (origin) => server.request('/rpc/uploadVideo', {
      method: 'POST', body, headers: { 'content-type': 'multipart/form-data; boundary=B', origin },
    });
    for (const origin of ['https://evil.example', 'null', `http://${server.host}.evil.example`]) {
      const answer = await send(origin);
      assert.equal(answer.status, 403, answer.text);
    }
    const answer = await send(server.origin);
    assert.equal(answer.status, 200, answer.text);
    await complete(server, answer.json.json.videoId);
  });
});

describe('uploadVideo in a browser', () => {
  let server;
  let browser;

  before(async () => {
    server = await Server.start({ args: ['--max-upload', '20MiB'] });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server.end();
  });

  // As the document's component calls it.
  const script = () => bundle(
    `import { createORPCClient } from '@orpc/client';
       import { RPCLink } from '@orpc/client/fetch';
       const { uploadVideo } = createORPCClient(new RPCLink({ url: location.origin + '/rpc' }));
       window.handleVideoUpload = async (file) => {
         const response = await uploadVideo({ file });
         const { videoId } = response;
         return videoId;
       };
       window.refusal = (file) => window.handleVideoUpload(file)
         .then(() => null, ({ name, code, status, message, data }) => ({ name, code, status, message, data }));`);
  const open = async () => {
    const page = await openPage(browser, server, { body: '<input type="file">', script: await script() });
    // Else every body comes by us first.
    await page.unrouteAll();
    return page;
  };

  test('a chosen file becomes a video', { timeout: 120_000 }, async () => {
    const page = await open();
    await page.setInputFiles('input', await clip({ seconds: SECONDS }));
    const videoId = await page.evaluate(() => window.handleVideoUpload(document.querySelector('input').files[0]));
    assert.equal(typeof videoId, 'string');
    await verify(server, await complete(server, videoId), SECONDS);
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  for (const [what, size, fill, code] of [
    ['too large', 100, 0, 'PAYLOAD_TOO_LARGE'],
    ['no video', 19, 65, 'UNSUPPORTED_MEDIA_TYPE'],
  ]) {
    test(`a file that is ${what} is refused in words`, { timeout: 120_000 }, async () => {
      const page = await open();
      const said = await page.evaluate(
        ([bytes, byte]) => window.refusal(new File([new Uint8Array(bytes).fill(byte)], 'a.mp4')),
        [size * MiB, fill],
      );
      assert.equal(said.code, code, JSON.stringify(said));
      await page.close();
    });
  }
});

describe('limits of uploadVideo', () => {
  let bytes;

  before(async () => {
    bytes = await clipBytes({ seconds: 1 });
  });

  test('a file beyond --max-upload is 413, told beforehand or on the way', async (t) => {
    const server = await Server.during(t, { args: ['--max-upload', '1MiB'] });
    const told = await refusal(clientOf(server).uploadVideo({ file: fileOf(padded(bytes, 30 * MiB)) }));
    assert.deepEqual([told.code, told.status], ['PAYLOAD_TOO_LARGE', 413]);
    assert.deepEqual(told.data, { field: 'file', limit: MiB });
    const body = form(data(input), part('0', padded(bytes, 20 * MiB), { file: 'a.mp4' }));
    async function* pieces() {
      for (let at = 0; at < body.length; at += 65536) yield body.subarray(at, at + 65536);
    }
    const { status, json } = await stream(server, { 'transfer-encoding': 'chunked' }, pieces());
    assert.equal(status, 413);
    assert.equal(json.json.data.limit, MiB);
    const exact = Buffer.concat([bytes, padded(Buffer.alloc(0), MiB - bytes.length)]);
    const { videoId } = await clientOf(server).uploadVideo({ file: fileOf(exact) });
    await complete(server, videoId);
    const over = await refusal(clientOf(server).uploadVideo({ file: fileOf(Buffer.concat([exact, Buffer.alloc(1)])) }));
    assert.equal(over.code, 'PAYLOAD_TOO_LARGE');
    await nothingLeft(server);
    assert.equal((await jobs(server)).length, 1);
  });

  test('a disk that is full is 507, told beforehand or on the way', async (t) => {
    const server = await Server.during(t, { args: ['--min-free', '1000000GiB'] });
    const told = await refusal(clientOf(server).uploadVideo({ file: fileOf(bytes) }));
    assert.deepEqual([told.code, told.status], ['INSUFFICIENT_STORAGE', 507]);
    const body = form(data(input), part('0', bytes, { file: 'a.mp4' }));
    const { status } = await stream(server, { 'transfer-encoding': 'chunked' }, [body]);
    assert.equal(status, 507);
    await nothingLeft(server);
    assert.deepEqual(await jobs(server), []);
  });

  test('a page of a listed origin may call', async (t) => {
    const origin = 'http://localhost:3000';
    const server = await Server.during(t, { args: ['--cors-origin', origin] });
    const asked = await server.request('/rpc/uploadVideo', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    assert.equal(asked.headers['access-control-allow-origin'], origin);
    assert.match(asked.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(asked.headers['access-control-allow-headers'], /\bAuthorization\b/i);
    for (const [body, status] of [[form(part('file', bytes, { file: 'a.mp4' })), 200], [end, 400]]) {
      const answer = await server.request('/rpc/uploadVideo', {
        method: 'POST', body, headers: { origin, 'content-type': 'multipart/form-data; boundary=B' },
      });
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.headers['access-control-allow-origin'], origin);
    }
  });

  test('asks for a token where the doors do, and makes the job its owner\'s', async (t) => {
    const server = await Server.during(t, { env: withSecret });
    const file = fileOf(bytes);
    const none = await refusal(clientOf(server).uploadVideo({ file }));
    assert.deepEqual([none.code, none.status], ['UNAUTHORIZED', 401]);
    const bad = await refusal(clientOf(server, { token: mint({}, { key: 'another' }) }).uploadVideo({ file }));
    assert.equal(bad.code, 'UNAUTHORIZED');
    const alice = mint({ sub: 'alice' });
    const { videoId } = await clientOf(server, { token: alice }).uploadVideo({ file });
    await complete(server, videoId, alice);
    assert.equal((await server.get(`/api/jobs/${videoId}`, mint({ sub: 'bob' }))).status, 404);
  });

  test('a video that shows to be none only later can be mended in chunks', async (t) => {
    const server = await Server.during(t);
    const broken = Buffer.concat([bytes.subarray(0, 2000), Buffer.alloc(2000)]);
    const token = await server.token();
    const { videoId } = await clientOf(server, { token }).uploadVideo({ file: fileOf(broken) });
    assert.equal((await ended(server, videoId, token)).state, 'failed');
    const { json } = await server.post(
      '/streaming/get-chunk-upload-url/', { videoId, chunkIndex: 0, totalChunks: 1 }, token);
    assert.equal((await server.request(json.upload_url, { method: 'PUT', body: bytes })).status, 200);
    const again = await server.post('/streaming/assemble-chunks/', { videoId }, token);
    assert.equal(again.status, 202, again.text);
    await waitFor(async () => (await server.job(videoId, token)).state === 'completed', 'the mended video');
  });
});

describe('uploadVideo and the end of the server', () => {
  let bytes;

  before(async () => {
    bytes = await clipBytes({ seconds: 1 });
  });

  test('what was answered goes on after kill -9', async (t) => {
    const server = await Server.during(t);
    for (let round = 0; round < 5; round++) {
      const { videoId } = await clientOf(server).uploadVideo({ file: fileOf(bytes) });
      await server.kill();
      await server.start();
      await verify(server, await complete(server, videoId), 1);
    }
    await nothingLeft(server);
  });

  test('whenever it is killed, an upload is a job that ends well or nothing at all', { timeout: 300_000 }, async (t) => {
    const server = await Server.during(t);
    const random = randomOf(seed);
    const answered = new Set();
    const body = form(data(input), part('0', padded(bytes, 2 * MiB), { file: 'a.mp4' }));
    let usual; // ms that three take when nothing happens: then it is killed right behind their answers
    for (let round = 0; round < 15; round++) {
      const began = Date.now();
      const uploads = [1, 2, 3].map(() => stream(server, { 'content-length': body.length }, [body]));
      for (const upload of uploads) upload.then(({ json }) => json && answered.add(json.json.videoId));
      const moment = new Promise((resolve) => usual && setTimeout(resolve, random() * 1.5 * usual));
      await Promise.race([Promise.all(uploads), moment]);
      usual ??= Date.now() - began;
      await server.kill();
      await Promise.all(uploads);
      await server.start();
    }
    const all = await jobs(server);
    for (const { id } of all) await complete(server, id);
    const ids = new Set(all.map(({ id }) => id));
    for (const id of answered) assert.ok(ids.has(id), `${id} was answered and is lost, SEED=${seed}`);
    await nothingLeft(server);
    assert.ok(answered.size > 0);
  });

  test('one that is under way when the server is asked to end is answered or cut, and nothing else', { timeout: 300_000 }, async (t) => {
    const server = await Server.during(t);
    const random = randomOf(seed);
    const answered = new Set();
    const body = form(data(input), part('0', bytes, { file: 'a.mp4' }));
    const half = Math.floor(body.length / 2);
    for (let round = 0; round < 4; round++) {
      // Each waits in its middle for a moment of its own, before or behind the end.
      async function* pieces(moment) {
        yield body.subarray(0, half);
        await new Promise((resolve) => setTimeout(resolve, moment));
        yield body.subarray(half);
      }
      const uploads = [...Array(12).keys()].map(() =>
        stream(server, { 'content-length': body.length }, pieces(random() * 400)));
      await waitFor(() => received(server).length > 0, 'an upload to be begun');
      await new Promise((resolve) => setTimeout(resolve, random() * 200));
      await server.stop();
      for (const { status, json } of await Promise.all(uploads)) {
        assert.ok([undefined, 200, 503].includes(status), `${status}`);
        if (status === 200) answered.add(json.json.videoId);
      }
      await server.start();
    }
    for (const id of answered) await complete(server, id);
    await nothingLeft(server);
  });
});
