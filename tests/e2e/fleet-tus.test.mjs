// Resumable uploads at several nodes that share a Redis and a folder: whichever a
// client comes to, it goes on where it was.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { Fleet } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { TusUpload, digest, tus } from '../support/tus.mjs';
import { waitFor } from '../support/wait.mjs';

const at = (upload, server) => Object.assign(new TusUpload(server, upload.location, upload.token));

test('an upload goes on at another node, also when the first is killed', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { a, b } = fleet;
  const bytes = await clipBytes({ seconds: 2 });
  const upload = await TusUpload.create(a, { length: bytes.length });
  const there = at(upload, b);
  await upload.send(0, bytes.subarray(0, 10_000));
  assert.equal(await there.offset(), 10_000);
  await there.send(10_000, bytes.subarray(10_000, 20_000));
  assert.equal((await upload.patch(10_000, 'x')).status, 409);
  await upload.send(20_000, bytes.subarray(20_000, 30_000));
  await a.kill();
  assert.equal(await there.offset(), 30_000);
  await there.send(30_000, bytes.subarray(30_000));
  await verify(b, await there.complete(), 2);
  assert.equal(await there.offset(), bytes.length);
});

test('of two nodes that are sent the same piece, one takes it', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const bytes = randomBytes(40_000);
  const upload = await TusUpload.create(fleet.a, { length: bytes.length });
  const both = [upload, at(upload, fleet.b)];
  for (let offset = 0; offset < bytes.length; offset += 4000) {
    const piece = bytes.subarray(offset, offset + 4000);
    const answers = await Promise.all(both.map((one) => one.patch(offset, piece)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [204, 409]);
  }
  const job = await waitFor(async () => {
    const seen = await upload.job();
    return seen.state === 'failed' && seen;
  }, 'the job to fail: it is no video');
  assert.ok(job.error);
  assert.equal(digest(upload.stored()), digest(bytes));
});

test('parts that came to several nodes become one', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const { a, b } = fleet;
  const bytes = await clipBytes({ seconds: 2 });
  const partial = { 'upload-concat': 'partial' };
  const first = await TusUpload.create(a, { length: 30_000, headers: partial });
  const second = await TusUpload.create(b, { length: bytes.length - 30_000, headers: partial });
  await at(first, b).send(0, bytes.subarray(0, 30_000));
  await at(second, a).send(0, bytes.subarray(30_000));
  const final = await TusUpload.create(b, { headers: { 'upload-concat': `final;${first.location} ${second.location}` } });
  await verify(a, await at(final, a).complete(), 2);
  for (const part of [first, second]) assert.equal((await part.head()).status, 404);
});

test('a length is declared once, and an upload terminated, at any node', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const { a, b } = fleet;
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await TusUpload.create(a, { headers: { 'upload-defer-length': 1 } });
  const there = at(upload, b);
  await upload.send(0, bytes.subarray(0, 1000));
  await there.send(1000, bytes.subarray(1000, 2000), { 'upload-length': bytes.length });
  assert.equal((await upload.head()).headers['upload-length'], String(bytes.length));
  assert.equal((await upload.patch(2000, 'x', { 'upload-length': bytes.length + 1 })).status, 400);
  await upload.send(2000, bytes.subarray(2000));
  await there.complete();
  assert.equal(await there.offset(), bytes.length);

  const other = await TusUpload.create(a, { length: 10 });
  await other.send(0, 'abc');
  assert.equal((await at(other, b).ask('DELETE')).status, 204);
  assert.equal((await other.head()).status, 410);
  assert.equal((await other.job()).state, 'cancelled');
  const part = await TusUpload.create(a, { length: 10, headers: { 'upload-concat': 'partial' } });
  await part.send(0, 'abc');
  assert.equal((await at(part, b).ask('DELETE')).status, 204);
  assert.equal((await part.head()).status, 404);
  await waitFor(() => part.stored().length === 0, 'the bytes of the part to go');
});

test('parts are only so many, at all nodes together', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const fill = `for i = 1, 9999 do
    redis.call('HSET', KEYS[1] .. 'job:x-' .. i, 'state', 'open')
    redis.call('ZADD', KEYS[1] .. 'parts', i, 'x-' .. i)
  end`;
  await fleet.redis.cli('EVAL', fill, '1', '{reelay}:');
  const headers = { 'upload-length': 10, 'upload-concat': 'partial' };
  const last = await TusUpload.create(fleet.a, { length: 10, headers });
  for (const server of [fleet.a, fleet.b]) {
    const refused = await tus(server, 'POST', '/files/', { headers });
    assert.equal(refused.status, 429, refused.text);
    assert.equal(refused.json.error.code, 'too_many_uploads');
  }
  await TusUpload.create(fleet.b, { length: 10 }); // no part
  assert.equal((await at(last, fleet.b).ask('DELETE')).status, 204);
  await TusUpload.create(fleet.b, { length: 10, headers });
});

test('what nobody goes on with expires, whole and partial', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1, serveArgs: ['--upload-ttl', '8s'] });
  const uploads = [
    await TusUpload.create(fleet.a, { length: 10 }),
    await TusUpload.create(fleet.a, { length: 10, headers: { 'upload-concat': 'partial' } }),
  ];
  for (const upload of uploads) await upload.send(0, 'abc');
  await waitFor(async () => (await at(uploads[0], fleet.b).head()).status === 410, 'the upload to expire');
  await waitFor(async () => (await at(uploads[1], fleet.b).head()).status === 404, 'the part to expire');
  await waitFor(() => uploads.every((upload) => upload.stored().length === 0), 'their bytes to go');
});

test('what a killed node had the last byte of is taken up by another', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1, serveArgs: ['--upload-ttl', '50s'] });
  const { a, b } = fleet;
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await TusUpload.create(a, { length: bytes.length });
  await upload.send(0, bytes.subarray(0, 10_000));
  await a.kill();
  // As it was before it could say so.
  const [name] = readdirSync(upload.folder);
  appendFileSync(path.join(upload.folder, name), bytes.subarray(10_000));
  renameSync(path.join(upload.folder, name), path.join(upload.folder, '000000'));
  await at(upload, b).complete();
});
