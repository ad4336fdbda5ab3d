// A whole upload and its video in a container of Azure's blob protocol: with a key, chunks and
// viewers go there themselves; with a token, everything passes through the server.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { startAzurite } from '../support/buckets.mjs';
import { bulkyClip } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { request } from '../support/http.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';

const SECONDS = 8;
const PRESET = ['--preset', 'ultrafast'];

let azurite;
let bytes;

before(async () => {
  azurite = await startAzurite();
  bytes = readFileSync(await bulkyClip());
});
after(() => azurite?.stop());

const isThere = (url) => new URL(url).origin === new URL(azurite.endpoint).origin;

async function putAll(upload) {
  for (const index of upload.indexes) {
    const url = await upload.url(index);
    assert.ok(isThere(url), url);
    assert.equal(new URL(url).searchParams.get('comp'), 'block');
    const answer = await request(url, {
      method: 'PUT', body: upload.chunk(index), headers: { 'content-type': 'application/octet-stream' },
    });
    assert.equal(answer.status, 201, answer.text);
  }
}

async function finish(upload) {
  await upload.assemble();
  const job = await upload.complete();
  assert.equal(job.state, 'completed', JSON.stringify(job));
  return job;
}

test('chunks of any size become parts, and viewers are sent there', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, { args: ['--storage', azurite.url, ...PRESET] });
  for (const chunks of [3, 17]) {
    const upload = await Upload.create(server, { bytes, chunks });
    await putAll(upload);
    const job = await finish(upload);
    await verify(server, job, SECONDS);
  }
});

test('chunks of a file whose size nobody has told, the last one first', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, { args: ['--storage', azurite.url, ...PRESET] });
  const token = await server.token();
  const created = await server.post('/streaming/create-video/', { title: 'A clip' }, token);
  assert.equal(created.status, 201, created.text);
  const upload = new Upload(server, { id: created.json.id, bytes, chunks: 5, token, fileName: 'clip.mp4' });
  upload.chunk = (index) => bytes.subarray(index * 3_000_000, (index + 1) * 3_000_000);
  upload.chunks = Math.ceil(bytes.length / 3_000_000);
  await putAll({ indexes: [...upload.indexes].reverse(), url: (i) => upload.url(i), chunk: (i) => upload.chunk(i) });
  await verify(server, await finish(upload), SECONDS);
});

test('with a token nobody is given a URL of the container', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, {
    args: ['--storage', azurite.bare, ...PRESET], env: { AZURE_STORAGE_SAS_TOKEN: azurite.sas },
  });
  const upload = await Upload.create(server, { bytes, chunks: 3 });
  const url = await upload.url(0);
  assert.equal(new URL(url).origin, server.origin);
  await upload.putAll();
  const job = await finish(upload);
  await verify(server, job, SECONDS);
  assert.ok(!JSON.stringify(job).includes('sig='));
});
