// tus 1.0.0, requirement by requirement, with requests written by hand.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { TusUpload, base64, digest, tus } from '../support/tus.mjs';
import { waitFor } from '../support/wait.mjs';

let server;
before(async () => {
  server = new Server({ args: ['--max-upload', '40MiB'] });
  await server.start();
});
after(() => server.end());

const octets = { 'content-type': 'application/offset+octet-stream' };

test('OPTIONS tells what there is, with or without a version', async () => {
  for (const target of ['/files/', '/files', '/files/12']) {
    const answer = await server.request(target, { method: 'OPTIONS' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['tus-resumable'], '1.0.0');
    assert.equal(answer.headers['tus-version'], '1.0.0');
    assert.equal(answer.headers['tus-max-size'], String(40 * 1024 * 1024));
    assert.deepEqual(answer.headers['tus-extension'].split(','), ['creation', 'creation-with-upload',
      'creation-defer-length', 'expiration', 'checksum', 'termination', 'concatenation']);
    assert.deepEqual(answer.headers['tus-checksum-algorithm'].split(','), ['sha1', 'sha256', 'sha512', 'md5']);
    assert.equal(answer.body.length, 0);
  }
});

test('any answer says which version it is', async () => {
  for (const [method, target, status] of [
    ['POST', '/files/', 400], ['HEAD', '/files/12', 404], ['GET', '/files/12', 405], ['PUT', '/files/', 405],
    ['PATCH', '/files/12', 404], ['DELETE', '/files/12', 404],
  ]) {
    const answer = await tus(server, method, target);
    assert.equal(answer.status, status, `${method} ${target}`);
    assert.equal(answer.headers['tus-resumable'], '1.0.0');
  }
});

test('another version is 412, and nothing is done', async () => {
  const upload = await TusUpload.create(server, { length: 3 });
  for (const version of [undefined, '0.2.2', '1.0.0-rc', '']) {
    const headers = { 'tus-resumable': version };
    for (const answer of [
      await tus(server, 'POST', '/files/', { headers: { ...headers, 'upload-length': 3 } }),
      await upload.ask('HEAD', { headers }),
      await upload.ask('PATCH', { headers: { ...octets, ...headers, 'upload-offset': 0 }, body: 'abc' }),
      await upload.ask('DELETE', { headers }),
    ]) {
      assert.equal(answer.status, 412);
      assert.equal(answer.headers['tus-version'], '1.0.0');
    }
  }
  assert.equal(await upload.offset(), 0);
});

test('a new upload has a place, a job and an end', async () => {
  const metadata = `filename ${base64('a clip.mp4')},filetype ${base64('video/mp4')},empty`;
  const upload = await TusUpload.create(server, { length: 100, headers: { 'upload-metadata': metadata } });
  assert.match(upload.location, /^\/files\/\d+$/);
  assert.equal(upload.created.headers['upload-job-id'], upload.id);
  const expires = Date.parse(upload.created.headers['upload-expires']);
  assert.ok(Math.abs(expires - Date.now() - 24 * 3600_000) < 60_000, upload.created.headers['upload-expires']);

  const head = await upload.head();
  assert.equal(head.status, 200);
  assert.equal(head.headers['upload-offset'], '0');
  assert.equal(head.headers['upload-length'], '100');
  assert.equal(head.headers['upload-metadata'], metadata);
  assert.equal(head.headers['cache-control'], 'no-store');
  assert.ok(head.headers['upload-expires']);
  assert.equal(head.headers['upload-job-id'], upload.id);
  assert.equal(head.headers['upload-defer-length'], undefined);

  const job = await upload.job();
  assert.equal(job.state, 'queued');
  assert.equal(job.title, 'a clip.mp4');
  assert.deepEqual(job.metadata, { filename: 'a clip.mp4', filetype: 'video/mp4', empty: '' });
});

test('what cannot become an upload is refused', async () => {
  const metadata = (value) => ({ 'upload-length': 3, 'upload-metadata': value });
  for (const [headers, status, code] of [
    [{}, 400, 'invalid_length'],
    [{ 'upload-length': '-1' }, 400, 'invalid_length'],
    [{ 'upload-length': '1e3' }, 400, 'invalid_length'],
    [{ 'upload-length': '99999999999999999999' }, 400, 'invalid_length'],
    [{ 'upload-length': 3, 'upload-defer-length': 1 }, 400, 'invalid_length'],
    [{ 'upload-defer-length': 2 }, 400, 'invalid_length'],
    [{ 'upload-length': 40 * 1024 * 1024 + 1 }, 413, 'too_large'],
    [metadata('filename !!'), 400, 'invalid_metadata'],
    [metadata('filename YQ==,filename YQ=='), 400, 'invalid_metadata'],
    [metadata('filename YQ==,'), 400, 'invalid_metadata'],
    [metadata(`name ${'A'.repeat(4000)}`), 413, 'too_large'],
    [{ 'upload-length': 3, 'upload-concat': 'half' }, 400, 'invalid_concat'],
    [{ 'upload-concat': 'final;' }, 400, 'invalid_concat'],
    [{ 'upload-concat': 'final;/files/no-such' }, 404, 'invalid_concat'],
    [{ ...octets, 'upload-length': 3, 'upload-checksum': 'crc64 AAAA' }, 400, 'invalid_checksum'],
  ]) {
    const answer = await tus(server, 'POST', '/files/', { headers });
    assert.equal(answer.status, status, JSON.stringify(headers));
    assert.equal(answer.json.error.code, code, JSON.stringify(headers));
  }
});

test('bytes of another type make no upload', async () => {
  const answer = await tus(server, 'POST', '/files/', { headers: { 'upload-length': 3, 'content-type': 'text/plain' }, body: 'abc' });
  assert.equal(answer.status, 415, answer.text);
});

test('an empty file is taken, and is no video', async () => {
  const known = await TusUpload.create(server, { length: 0 });
  const late = await TusUpload.create(server, { headers: { 'upload-defer-length': 1 } });
  assert.equal((await late.patch(0, '', { 'upload-length': 0 })).status, 204);
  for (const upload of [known, late]) {
    const head = await upload.head();
    assert.equal(head.status, 200);
    assert.equal(head.headers['upload-offset'], '0');
    assert.equal(head.headers['upload-length'], '0');
    const job = await upload.job();
    assert.equal(job.state, 'failed');
    assert.equal(job.error, 'an empty file is no video');
  }
});

test('a PATCH that says too little, or the wrong things, is refused', async () => {
  const upload = await TusUpload.create(server, { length: 10 });
  await upload.send(0, 'abcd');
  for (const [headers, status, body = 'efgh'] of [
    [{ 'upload-offset': 4, 'content-type': 'application/octet-stream' }, 415],
    [{ 'upload-offset': 4 }, 415],
    [{ ...octets }, 400],
    [{ ...octets, 'upload-offset': '-4' }, 400],
    [{ ...octets, 'upload-offset': 'four' }, 400],
    [{ ...octets, 'upload-offset': 0 }, 409],
    [{ ...octets, 'upload-offset': 3 }, 409],
    [{ ...octets, 'upload-offset': 5 }, 409],
    [{ ...octets, 'upload-offset': '9223372036854775807' }, 409],
    [{ ...octets, 'upload-offset': '99999999999999999999' }, 400],
    [{ ...octets, 'upload-offset': 4 }, 413, 'seven b'],
    [{ ...octets, 'upload-offset': 4, 'upload-length': 11 }, 400],
    [{ ...octets, 'upload-offset': 4, 'upload-checksum': 'sha1 nothing' }, 400],
    [{ ...octets, 'upload-offset': 4, 'upload-checksum': 'sha1 AAAA' }, 460],
  ]) {
    const answer = await upload.ask('PATCH', { headers, body });
    assert.equal(answer.status, status, JSON.stringify(headers));
    if (status === 409) assert.equal(answer.headers['upload-offset'], '4');
    assert.equal(await upload.offset(), 4);
  }
  assert.equal(upload.stored().toString(), 'abcd');
});

test('bytes beyond the length do not count, though none were announced', async () => {
  const upload = await TusUpload.create(server, { length: 10 });
  const answer = await upload.ask('PATCH', {
    headers: { ...octets, 'upload-offset': 0, 'transfer-encoding': 'chunked', 'content-length': undefined },
    body: undefined,
    ...{},
  });
  assert.equal(answer.status, 204);
  const status = await new Promise((resolve, reject) => {
    const request = http.request(new URL(upload.location, server.origin), {
      method: 'PATCH', agent: false, headers: { ...octets, 'tus-resumable': '1.0.0', 'upload-offset': 0 },
    }, (answered) => resolve(answered.resume().statusCode));
    request.on('error', reject);
    request.write('abcdef');
    request.end('ghijklm');
  });
  assert.equal(status, 413);
  assert.equal(await upload.offset(), 0);
});

test('a body may come in chunks, and after 100 Continue', async () => {
  const upload = await TusUpload.create(server, { length: 10 });
  const { status, invited } = await new Promise((resolve, reject) => {
    let wasInvited = false;
    const request = http.request(new URL(upload.location, server.origin), {
      method: 'PATCH', agent: false,
      headers: { ...octets, 'tus-resumable': '1.0.0', 'upload-offset': 0, expect: '100-continue', 'transfer-encoding': 'chunked' },
    }, (answer) => resolve({ status: answer.resume().statusCode, invited: wasInvited }));
    request.on('error', reject);
    request.on('continue', () => {
      wasInvited = true;
      request.write('ab');
      request.end('cde');
    });
    request.flushHeaders();
  });
  assert.equal(status, 204);
  assert.ok(invited);
  assert.equal(await upload.offset(), 5);
});

test('many small pieces are few chunks on the disk', async () => {
  const upload = await TusUpload.create(server, { length: 1000 });
  const bytes = Buffer.from(Array.from({ length: 60 }, (_, i) => 65 + (i % 26)));
  for (let at = 0; at < bytes.length; at += 3) await upload.send(at, bytes.subarray(at, at + 3));
  assert.deepEqual(upload.stored(), bytes);
  const files = readdirSync(path.join(server.dataDir, 'uploads', upload.id)).sort();
  assert.deepEqual(files, ['000000.00000000000000000060.part', 'lock']);
});

test('a whole upload is converted, and HEAD still says that it is whole', async () => {
  const bytes = await clipBytes({ seconds: 1 });
  const metadata = `name ${base64('x/y\\clip\u0007é.mp4')},empty,type ${base64('video/mp4')}`;
  const upload = await TusUpload.create(server, { length: bytes.length, headers: { 'upload-metadata': metadata } });
  await upload.send(0, bytes.subarray(0, 1000));
  const last = await upload.send(1000, bytes.subarray(1000));
  assert.equal(last.headers['upload-job-id'], upload.id);
  assert.equal(await upload.offset(), bytes.length);
  const again = await upload.patch(bytes.length, Buffer.alloc(0));
  assert.equal(again.status, 204);
  assert.equal((await upload.patch(bytes.length, 'more')).status, 409);
  assert.equal((await upload.patch(0, 'more')).status, 409);
  const job = await waitFor(async () => {
    const seen = await upload.job();
    return ['completed', 'failed'].includes(seen.state) && seen;
  }, 'the end of the job');
  assert.equal(job.state, 'completed', JSON.stringify(job));
  assert.equal(job.title, 'clip_é.mp4');
  await waitFor(() => !existsSync(path.join(server.dataDir, 'uploads', upload.id)), 'the chunks to go');
  const head = await upload.head();
  assert.equal(head.status, 200);
  assert.equal(head.headers['upload-offset'], String(bytes.length));
  assert.equal(head.headers['upload-length'], String(bytes.length));
  assert.equal(head.headers['upload-metadata'], metadata);
  assert.equal((await upload.ask('DELETE')).status, 409);
});

test('an upload can come with its creation, as a whole or in part', async () => {
  const bytes = await clipBytes({ seconds: 1 });
  const part = await TusUpload.create(server, { length: bytes.length, body: bytes.subarray(0, 5000) });
  assert.equal(part.created.headers['upload-offset'], '5000');
  assert.deepEqual(part.stored(), bytes.subarray(0, 5000));
  await part.send(5000, bytes.subarray(5000));

  const whole = await TusUpload.create(server, { length: bytes.length, body: bytes });
  assert.equal(whole.created.headers['upload-offset'], String(bytes.length));
  for (const upload of [part, whole])
    await waitFor(async () => (await upload.job()).state === 'completed', 'the job to complete');

  const none = await tus(server, 'POST', '/files/', { headers: { ...octets, 'upload-length': 3 }, body: 'four' });
  assert.equal(none.status, 413);
});

test('an upload may say later how long it is', async () => {
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await TusUpload.create(server, { headers: { 'upload-defer-length': 1 } });
  const head = await upload.head();
  assert.equal(head.headers['upload-defer-length'], '1');
  assert.equal(head.headers['upload-length'], undefined);
  await upload.send(0, bytes.subarray(0, 100));
  assert.equal((await upload.patch(100, '', { 'upload-length': 99 })).status, 400);
  await upload.send(100, bytes.subarray(100, 200), { 'upload-length': bytes.length });
  const known = await upload.head();
  assert.equal(known.headers['upload-length'], String(bytes.length));
  assert.equal(known.headers['upload-defer-length'], undefined);
  assert.equal((await upload.patch(200, 'x', { 'upload-length': bytes.length + 1 })).status, 400);
  await upload.send(200, bytes.subarray(200));
  await waitFor(async () => (await upload.job()).state === 'completed', 'the job to complete');
  assert.equal(await upload.offset(), bytes.length);

  // All is there before anybody knows that it is all.
  const late = await TusUpload.create(server, { headers: { 'upload-defer-length': 1 } });
  await late.send(0, bytes);
  assert.equal((await late.job()).state, 'queued');
  await late.send(bytes.length, Buffer.alloc(0), { 'upload-length': bytes.length });
  await waitFor(async () => (await late.job()).state === 'completed', 'the job to complete');

  // The length is taken, what comes with it is not.
  const over = await TusUpload.create(server, { headers: { 'upload-defer-length': 1 } });
  await over.send(0, bytes);
  assert.equal((await over.patch(bytes.length, 'x', { 'upload-length': bytes.length })).status, 413);
  assert.equal(await over.offset(), bytes.length);
  await waitFor(async () => (await over.job()).state === 'completed', 'the job to complete');
});

test('only bytes that are those of the checksum count', async () => {
  const upload = await TusUpload.create(server, { length: 11 });
  for (const name of ['sha1', 'sha256', 'sha512', 'md5']) {
    const wrong = await upload.patch(0, 'hello worle', { 'upload-checksum': `${name} ${digest('hello world', name, 'base64')}` });
    assert.equal(wrong.status, 460);
    assert.equal(await upload.offset(), 0);
  }
  await upload.send(0, 'hello', { 'upload-checksum': `md5 ${digest('hello', 'md5', 'base64')}` });
  const unknown = await upload.patch(5, ' ', { 'upload-checksum': 'adler32 AAAA' });
  assert.equal(unknown.status, 400);
  await upload.send(5, ' ');
  assert.equal(upload.stored().toString(), 'hello ');
});

test('what breaks off does not count if it has a checksum, and does if not', async () => {
  const upload = await TusUpload.create(server, { length: 1_000_000 });
  const bytes = Buffer.alloc(300_000, 'x');
  const hanging = http.request(new URL(upload.location, server.origin), {
    method: 'PATCH', agent: false,
    headers: { ...octets, 'tus-resumable': '1.0.0', 'upload-offset': 0, 'content-length': 500_000,
      'upload-checksum': `sha1 ${digest(bytes, 'sha1', 'base64')}` },
  });
  hanging.on('error', () => {});
  await new Promise((resolve) => hanging.write(bytes, resolve));
  hanging.destroy();
  assert.equal(await upload.offset(), 0);

  const other = upload.hang(0, bytes, 500_000);
  await other.sent;
  await waitFor(() => upload.receiving() > 0, 'bytes to be written');
  other.request.destroy();
  await waitFor(() => upload.stored().length > 0, 'what came to count');
  const offset = await upload.offset();
  assert.ok(offset > 0);
  assert.deepEqual(upload.stored(), bytes.subarray(0, offset));
});

test('an upload that is terminated is gone, and its job cancelled', async () => {
  const upload = await TusUpload.create(server, { length: 10 });
  await upload.send(0, 'abc');
  const answer = await upload.ask('DELETE');
  assert.equal(answer.status, 204);
  assert.equal((await upload.head()).status, 410);
  assert.equal((await upload.patch(3, 'def')).status, 410);
  assert.equal((await upload.ask('DELETE')).status, 410);
  assert.equal((await upload.job()).state, 'cancelled');
  await waitFor(() => !existsSync(path.join(server.dataDir, 'uploads', upload.id)), 'its bytes to go');
});

test('a POST may stand for a method that a proxy does not let through', async () => {
  const upload = await TusUpload.create(server, { length: 10 });
  const as = (method, headers, body) => upload.ask('POST', { headers: { 'x-http-method-override': method, ...headers }, body });
  assert.equal((await as('PATCH', { ...octets, 'upload-offset': 0 }, 'abc')).status, 204);
  const head = await as('HEAD');
  assert.equal(head.status, 200);
  assert.equal(head.headers['upload-offset'], '3');
  assert.equal((await as('DELETE')).status, 204);
  assert.equal((await upload.head()).status, 410);
  assert.equal((await as('PUT')).status, 405);
  assert.equal((await upload.ask('POST')).status, 405);
});

test('partial uploads become one, in their order', async () => {
  const bytes = await clipBytes({ seconds: 2 });
  const cut = [0, 1000, 1000, 50_000, bytes.length];
  const pieces = [0, 1, 2, 3].map((i) => bytes.subarray(cut[i], cut[i + 1])); // one of them is empty
  const parts = [];
  for (const piece of pieces) {
    const part = await TusUpload.create(server, {
      length: piece.length,
      headers: { 'upload-concat': 'partial', 'upload-metadata': `which ${base64('part')}` },
    });
    parts.push(part);
    assert.equal(part.created.headers['upload-job-id'], undefined);
    assert.equal(await part.job(), null);
  }
  const list = (all) => `final;${all.map((part) => part.location).join(' ')}`;
  const make = (all, headers = {}) => tus(server, 'POST', '/files/', { headers: { 'upload-concat': list(all), ...headers } });

  for (const i of [2, 0]) await parts[i].send(0, pieces[i]);
  const early = await make(parts);
  assert.equal(early.status, 400, early.text);
  await parts[3].send(0, pieces[3]);
  assert.equal((await make(parts, { 'upload-length': bytes.length })).status, 400);
  const head = await parts[0].head();
  assert.equal(head.headers['upload-concat'], 'partial');
  assert.equal(head.headers['upload-metadata'], `which ${base64('part')}`);
  assert.equal(head.headers['upload-length'], String(pieces[0].length));

  const final = await TusUpload.create(server, { headers: { 'upload-concat': list(parts), 'upload-metadata': `name ${base64('all.mp4')}` } });
  const whole = await final.head();
  assert.equal(whole.headers['upload-length'], String(bytes.length));
  assert.equal(whole.headers['upload-offset'], String(bytes.length));
  const patched = await final.patch(bytes.length, 'x');
  assert.ok([403, 409].includes(patched.status), String(patched.status));
  const job = await waitFor(async () => {
    const seen = await final.job();
    return ['completed', 'failed'].includes(seen.state) && seen;
  }, 'the end of the job');
  assert.equal(job.state, 'completed', JSON.stringify(job));
  assert.equal(job.title, 'all.mp4');
  for (const part of parts) assert.equal((await part.head()).status, 404);
  await waitFor(() => parts.every((part) => !existsSync(path.join(server.dataDir, 'uploads', part.id))), 'the parts to go');
});

test('of several that want the same part at once, each gets it or is refused', async () => {
  for (let round = 0; round < 30; round++) {
    const part = await TusUpload.create(server, { length: 3, headers: { 'upload-concat': 'partial' }, body: 'abc' });
    const twice = { 'upload-concat': `final;${part.location} ${part.location}` };
    const answers = await Promise.all([0, 1, 2].map(() => tus(server, 'POST', '/files/', { headers: twice })));
    const statuses = answers.map((answer) => answer.status);
    // 400: it went while its bytes were counted.
    assert.ok(statuses.includes(201) && statuses.every((status) => [201, 400, 404].includes(status)), `${statuses}`);
  }
});

test('a partial upload can be taken back', async () => {
  const part = await TusUpload.create(server, { length: 3, headers: { 'upload-concat': 'partial' } });
  await part.send(0, 'abc');
  assert.equal((await part.ask('DELETE')).status, 204);
  assert.equal((await part.head()).status, 404);
  const none = await tus(server, 'POST', '/files/', { headers: { 'upload-concat': `final;${part.location}` } });
  assert.equal(none.status, 404);
});

test('uploads of another kind are not for tus', async () => {
  const token = await server.token();
  const { json } = await server.post('/streaming/create-video/', { title: 'x', fileSize: 10 }, token);
  assert.equal((await tus(server, 'HEAD', `/files/${json.id}`, { token })).status, 404);
  const made = await server.post('/jobs/create', { title: 'x' }, token);
  assert.equal((await tus(server, 'HEAD', `/files/${made.json.job_id}`, { token })).status, 404);
});

test('its uploads take no chunks by another way', async () => {
  const token = await server.token();
  const upload = await TusUpload.create(server, { length: 10 });
  await upload.send(0, 'abcd');
  const answer = await server.post('/streaming/get-chunk-upload-url/', { videoId: upload.id, chunkIndex: 0, totalChunks: 2 }, token);
  assert.equal(answer.status, 409, answer.text);
  assert.equal(answer.json.error.code, 'upload_closed');
  assert.equal((await server.post('/streaming/assemble-chunks/', { videoId: upload.id, fileName: 'x.mp4' }, token)).status, 400);
  await upload.send(4, 'efghij');
});
