// The clients that people have, as they come: tus-js-client and Uppy, in Node and in
// Chromium. What they send is converted, and seen at the doors.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { bundle, launch, openPage } from '../support/browser.mjs';
import { clipBytes } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { Relay, TusUpload, tus as ask } from '../support/tus.mjs';
import { waitFor, within } from '../support/wait.mjs';

const tus = require('tus-js-client');

let browser;
let server;
let bytes;
before(async () => {
  bytes = await clipBytes({ seconds: 3 });
  server = new Server({ args: ['--preset', 'fast'] });
  await server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.end();
});

const idOf = (url) => new URL(url, server.origin).pathname.split('/').at(-1);

function send(options) {
  const done = new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint: `${server.origin}/files/`,
      retryDelays: [],
      onSuccess: () => resolve(upload.url),
      onError: reject,
      ...options,
    });
    upload.start();
  });
  return within(done, 'the end of the upload', 60_000);
}

async function complete(id, token, at = server) {
  const job = await waitFor(async () => {
    const seen = await at.job(id, token);
    return ['completed', 'failed'].includes(seen?.state) && seen;
  }, 'the job to end', { timeout: 120_000 });
  assert.equal(job.state, 'completed', JSON.stringify(job));
  return job;
}

for (const [how, options] of [
  ['in one request', {}],
  ['in chunks', { chunkSize: 20_000 }],
  ['with its creation', { uploadDataDuringCreation: true }],
  ['with its creation, in chunks', { uploadDataDuringCreation: true, chunkSize: 20_000 }],
  ['in three parts at a time', { parallelUploads: 3 }],
  ['by POST alone', { overridePatchMethod: true }],
]) {
  test(`tus-js-client sends a video ${how}`, async () => {
    const url = await send({ ...options, metadata: { filename: 'Ein Clip – süß 💾.mp4', filetype: 'video/mp4' } });
    const job = await complete(idOf(url));
    assert.equal(job.title, 'Ein Clip – süß 💾.mp4');
    await verify(server, job, 3);
  });
}

test('tus-js-client sends a stream whose length nobody knows', async () => {
  const { Readable } = await import('node:stream');
  const done = new Promise((resolve, reject) => {
    const upload = new tus.Upload(Readable.from([bytes.subarray(0, 30_000), bytes.subarray(30_000)]), {
      endpoint: `${server.origin}/files/`,
      uploadLengthDeferred: true,
      chunkSize: 16_384,
      retryDelays: [],
      onSuccess: () => resolve(upload.url),
      onError: reject,
    });
    upload.start();
  });
  await complete(idOf(await within(done, 'the end of the upload')));
});

test('tus-js-client takes up an upload that it had stopped, and terminates one', async () => {
  const half = await new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint: `${server.origin}/files/`,
      chunkSize: 20_000,
      onError: reject,
      onChunkComplete: () => upload.abort().then(() => resolve(upload.url)),
    });
    upload.start();
  });
  const offset = Number((await ask(server, 'HEAD', new URL(half).pathname)).headers['upload-offset']);
  assert.ok(offset >= 20_000 && offset < bytes.length, String(offset));
  const steps = [];
  await send({ uploadUrl: half, onProgress: (sent) => steps.push(sent) });
  assert.ok(steps.length > 0);
  await complete(idOf(half));

  const other = await TusUpload.create(server, { length: 1000 });
  await tus.Upload.terminate(new URL(other.location, server.origin).href, {});
  assert.equal((await other.job()).state, 'cancelled');
});

test('its job is seen at the doors while it is processed, to the end', async () => {
  const token = await server.token();
  const upload = await TusUpload.create(server, { length: bytes.length });
  const [stream, jobs] = await Promise.all([server.watchStream(upload.id, await server.token({ admin: true })), server.watchJob(upload.id)]);
  await upload.send(0, bytes);
  await stream.until((message) => message.type === 'complete', 'the end at the stream door');
  await jobs.until((message) => message.status === 'completed', 'the end at the jobs door');
  assert.ok(token);
});

test('with tokens, an upload is its owner\'s', async (t) => {
  const guarded = await Server.during(t, { args: ['--auth', 'all', '--preset', 'fast'], env: withSecret });
  const headers = (sub) => ({ Authorization: `Bearer ${mint({ sub })}` });
  const endpoint = `${guarded.origin}/files/`;
  await assert.rejects(send({ endpoint }), /401/);
  for (const parallelUploads of [1, 2]) {
    const url = await send({ endpoint, headers: headers('alice'), parallelUploads });
    assert.equal((await complete(idOf(url), mint({ sub: 'alice' }), guarded)).state, 'completed');
  }
  const token = mint({ sub: 'alice' });
  for (const concat of [{}, { 'upload-concat': 'partial' }]) {
    const upload = await TusUpload.create(guarded, { length: 10, token, headers: concat });
    await upload.send(0, 'abc');
    for (const stranger of [mint({ sub: 'bob' }), undefined]) {
      const status = stranger ? 404 : 401;
      const theirs = new TusUpload(guarded, upload.location, stranger);
      assert.equal((await theirs.head()).status, status);
      assert.equal((await theirs.patch(3, 'x')).status, status);
      assert.equal((await theirs.ask('DELETE')).status, status);
    }
    const final = await ask(guarded, 'POST', '/files/', { token: mint({ sub: 'bob' }), headers: { 'upload-concat': `final;${upload.location}` } });
    assert.equal(final.status, 404);
    assert.equal(await upload.offset(), 3);
  }
});

test('an upload that nobody goes on with expires', async (t) => {
  const hasty = await Server.during(t, { args: ['--upload-ttl', '8s'] });
  const uploads = [
    await TusUpload.create(hasty, { length: 10 }),
    await TusUpload.create(hasty, { length: 10, headers: { 'upload-concat': 'partial' } }),
  ];
  for (const upload of uploads) {
    await upload.send(0, 'abc');
    const expires = Date.parse((await upload.head()).headers['upload-expires']);
    assert.ok(expires - Date.now() <= 8000);
  }
  await waitFor(async () => (await uploads[0].head()).status === 410, 'the upload to expire');
  await waitFor(async () => (await uploads[1].head()).status === 404, 'the part to expire');
  assert.equal((await uploads[0].job()).state, 'failed');
});

test('open uploads, whole and partial, are there after a restart', async (t) => {
  const own = await Server.during(t);
  const uploads = [
    await TusUpload.create(own, { length: 10, headers: { 'upload-metadata': 'name YQ==' } }),
    await TusUpload.create(own, { length: 10, headers: { 'upload-concat': 'partial' } }),
    await TusUpload.create(own, { headers: { 'upload-defer-length': 1 } }),
  ];
  for (const upload of uploads) await upload.send(0, 'abc');
  await uploads[2].send(3, 'd', { 'upload-length': 10 });
  await own.kill();
  await own.start();
  for (const [i, upload] of uploads.entries()) {
    const head = await upload.head();
    assert.equal(head.status, 200);
    assert.equal(head.headers['upload-offset'], i === 2 ? '4' : '3');
    assert.equal(head.headers['upload-length'], '10');
  }
  assert.equal((await uploads[0].head()).headers['upload-metadata'], 'name YQ==');
  assert.equal((await uploads[1].head()).headers['upload-concat'], 'partial');
});

test('the Location is below the public URL, where there is one', async (t) => {
  const named = await Server.during(t, { args: ['--public-url', 'https://video.example'] });
  const answer = await ask(named, 'POST', '/files/', { headers: { 'upload-length': 3 } });
  assert.match(answer.headers.location, /^https:\/\/video\.example\/files\/\d+$/);
});

// In a page: a file, made of the clip's bytes.
const file = () => `new File([Uint8Array.from(atob(${JSON.stringify(bytes.toString('base64'))}), (c) => c.charCodeAt(0))], 'clip.mp4', { type: 'video/mp4' })`;

for (const where of ['its own origin', 'another origin']) {
  test(`tus-js-client sends a video from a page of ${where}`, async (t) => {
    const other = where === 'another origin';
    const target = await Server.during(t, { args: ['--preset', 'fast', '--cors-origin', server.origin] });
    const relay = await Relay.during(t, target, (broken) => (broken < 3 ? 40_000 : Infinity));
    const endpoint = other ? `${relay.origin}/files/` : `${server.origin}/files/`;
    const script = await bundle(`
      import * as tus from 'tus-js-client';
      window.send = (file, endpoint, options) => new Promise((resolve, reject) => {
        const upload = new tus.Upload(file, { endpoint, retryDelays: Array(20).fill(50),
          metadata: { filename: file.name }, ...options,
          onSuccess: () => resolve(upload.url), onError: (error) => reject(String(error)) });
        upload.start();
      });`);
    const page = await openPage(browser, server, { script });
    for (const options of [{}, { parallelUploads: 2 }]) {
      const url = await page.evaluate(`send(${file()}, ${JSON.stringify(endpoint)}, ${JSON.stringify(options)})`);
      await complete(idOf(url), undefined, other ? target : server);
    }
    await page.context().close();
  });

  test(`Uppy sends a video from a page of ${where}`, async (t) => {
    const other = where === 'another origin';
    const target = await Server.during(t, { args: ['--preset', 'fast', '--cors-origin', server.origin] });
    const endpoint = `${(other ? target : server).origin}/files/`;
    const script = await bundle(`
      import Uppy from '@uppy/core';
      import Tus from '@uppy/tus';
      window.send = async (file, endpoint) => {
        const uppy = new Uppy().use(Tus, { endpoint, chunkSize: 30000 });
        uppy.addFile({ name: 'Ünïcode, ganz lang.mp4', type: file.type, data: file });
        const { successful, failed } = await uppy.upload();
        if (failed.length) throw new Error(failed[0].error);
        return successful[0].uploadURL;
      };`);
    const page = await openPage(browser, server, { script });
    const url = await page.evaluate(`send(${file()}, ${JSON.stringify(endpoint)})`);
    const job = await complete(idOf(url), undefined, other ? target : server);
    assert.equal(job.title, 'Ünïcode, ganz lang.mp4');
    await page.context().close();
  });
}
