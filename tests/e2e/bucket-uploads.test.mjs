// Chunks that go straight to a bucket, a real one: as parts, as objects, and through the
// server; and servers that die between any two requests to it.
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { launch, openPage, snippet } from '../support/browser.mjs';
import { azuriteDuring, startSwift } from '../support/buckets.mjs';
import { bulkyClip, clip, clipBytes } from '../support/clips.mjs';
import { Direct, MiB, isPart, nothingRemains, remains, sizes } from '../support/direct.mjs';
import { Server } from '../support/server.mjs';
import { require } from '../support/packages.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const { WebSocket } = require('ws');
const SECONDS = 8;

let swift;
let bulky;
let large; // more than two chunks of 5 MiB

before(async () => {
  swift = await startSwift();
  bulky = await bulkyClip();
  large = readFileSync(bulky);
  assert.ok(large.length > 10 * MiB, `${large.length} bytes are too few`);
});
after(() => swift?.stop());

const bucketArgs = (url = swift.url) => ['--storage', url, '--preset', 'ultrafast'];

async function measured(job, seconds = SECONDS) {
  assert.ok(Math.abs(job.result.duration - seconds) < 0.6, JSON.stringify(job.result));
}

describe('chunks straight to a bucket', () => {
  let server;

  before(async () => {
    server = await Server.start({ args: bucketArgs() });
  });
  after(() => server?.end());

  const create = (options) => Direct.create(server, { bytes: large, swift, ...options });

  test("the document's client sends 5 MiB chunks one after the other", async () => {
    const token = await server.token();
    const updates = [];
    const put = [];
    const api = {
      async post(path, body) {
        const answer = await server.post(path, body, token);
        if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`);
        return { data: answer.json };
      },
    };
    const file = new File([large], 'clip.mp4');
    const source = snippet('stream/uploadVideoWithProgress.js', server);
    const send = new Function('api', 'fetch', 'updateProgressUI', 'WebSocket', 'console',
      `${source}; return uploadVideoWithProgress;`)(
      api,
      async (url, options) => {
        put.push(url);
        const answer = await fetch(url, options);
        assert.equal(answer.status, 200);
        return answer;
      },
      (data) => updates.push(data),
      WebSocket,
      { log() {} },
    );
    await send(file, { title: 'A clip' }, token);
    await waitFor(() => updates.some(({ type }) => type === 'complete' || type === 'error'), 'the end');
    assert.equal(updates.at(-1).type, 'complete', JSON.stringify(updates.at(-1)));
    assert.ok(put.every((url) => new URL(url).origin === new URL(swift.endpoint).origin), put.join('\n'));
    assert.ok(put.every(isPart), put.join('\n'));
    const said = updates.map(({ message }) => message);
    assert.ok(said.includes('Starting chunk assembly'), said.join('\n'));
    assert.ok(said.some((text) => /^Reading chunk \d+\/4$/.test(text)), said.join('\n'));
    const id = /uploads\/(\d+)\/source/.exec(put[0])[1];
    await nothingRemains(swift, { id });
  });

  test('chunks of an undeclared size that are small become objects', async () => {
    const upload = await create({ size: 1 * MiB });
    assert.ok(isPart(await upload.url(0)));
    await upload.putAll();
    assert.ok(!isPart(await upload.url(0)));
    const seen = await sizes(upload);
    assert.deepEqual(seen, Object.fromEntries(upload.indexes.map((i) => [i, upload.chunk(i).length])));
    await measured(await upload.finish());
    await nothingRemains(swift, upload);
  });

  test('a declared size decides before anything is sent', async () => {
    const small = await create({ size: 1 * MiB, declares: true });
    assert.ok(!isPart(await small.url(0)));
    await small.putAll([...small.indexes].reverse());
    await measured(await small.finish());
    const parts = await create({ size: 6 * MiB, declares: true });
    assert.ok(isPart(await parts.url(1)));
    await Promise.all(parts.indexes.map((index) => parts.put(index)));
    await measured(await parts.finish());
    await nothingRemains(swift, small);
    await nothingRemains(swift, parts);
  });

  test('all URLs may be asked for before anything is sent', async () => {
    for (const size of [5 * MiB, 1 * MiB]) {
      const upload = await create({ size });
      const urls = await Promise.all(upload.indexes.map((index) => upload.url(index)));
      assert.equal(urls.filter(isPart).length, 1);
      await Promise.all(upload.indexes.map((index) => upload.putTo(urls[index], upload.chunk(index))));
      await measured(await upload.finish());
      await nothingRemains(swift, upload);
    }
  });

  test('one chunk alone is an upload too, however small', async () => {
    const bytes = await clipBytes({ seconds: 2 });
    const upload = await create({ bytes, size: bytes.length });
    await upload.putAll();
    assert.deepEqual(await sizes(upload), { 0: bytes.length });
    await measured(await upload.finish(), 2);
  });

  test('a chunk that is sent again counts as its latest', async () => {
    for (const size of [5 * MiB, 1 * MiB]) {
      const upload = await create({ size });
      await upload.put(0, Buffer.alloc(size, 1));
      await upload.put(1, Buffer.alloc(size, 2));
      await upload.putAll([...upload.indexes].reverse());
      await measured(await upload.finish());
    }
  });

  test('what is missing, and what does not add up, is named', async () => {
    const upload = await create({ size: 1 * MiB, declares: true });
    await upload.put(0);
    const missing = await upload.tryAssemble();
    assert.equal(missing.status, 409);
    assert.match(missing.json.error.message, /^\d+ of \d+ chunks are missing: 1-/);
    await upload.putAll();
    await upload.put(2, Buffer.alloc(17));
    const wrong = await upload.tryAssemble();
    assert.equal(wrong.status, 400);
    assert.match(wrong.json.error.message, /^the chunks hold \d+ bytes, but fileSize was declared as \d+$/);
    await upload.put(2);
    await measured(await upload.finish());
  });

  test('a part that is too small is named, and all may be sent anew', async () => {
    const upload = await create({ size: 5 * MiB });
    await upload.put(0);
    await upload.put(1, upload.chunk(1).subarray(0, 1 * MiB));
    for (const index of upload.indexes.slice(2)) await upload.put(index);
    const refused = await upload.tryAssemble();
    assert.equal(refused.status, 400, refused.text);
    assert.match(refused.json.error.message, /^chunk 1 holds 1048576 bytes, .*need 5242880/);
    await upload.putAll();
    await measured(await upload.finish());
    await nothingRemains(swift, upload);
  });

  test('what is no video is sent anew, and then is one', async () => {
    for (const size of [5 * MiB, 1 * MiB]) {
      const upload = await create({ size });
      for (const index of upload.indexes) await upload.put(index, Buffer.alloc(upload.chunk(index).length, 7));
      await upload.assemble();
      const failed = await upload.reach('failed', 'completed');
      assert.equal(failed.state, 'failed');
      await upload.putAll();
      await measured(await upload.finish());
      await nothingRemains(swift, upload);
    }
  });

  test('cancelling leaves nothing in the bucket', async () => {
    const upload = await create();
    await upload.put(0);
    await upload.put(1);
    assert.ok((await remains(swift, `uploads/${upload.id}/`)).length > 0);
    const answer = await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.ok(answer.status < 300, answer.text);
    await nothingRemains(swift, upload);
  });

  test('a file in one request goes there too', async () => {
    const bytes = await clipBytes({ seconds: 2 });
    const form = new FormData();
    form.set('file', new File([bytes], 'clip.mp4'));
    const answer = await fetch(`${server.origin}/rpc/uploadVideo`, {
      method: 'POST', body: form, headers: { authorization: `Bearer ${await server.token()}` },
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const id = /"videoId":"?(\d+)/.exec(text)[1];
    const job = await waitFor(async () => {
      const seen = await server.job(id, await server.token());
      return ['completed', 'failed'].includes(seen?.state) ? seen : undefined;
    }, 'the job to end', { timeout: 60_000 });
    assert.equal(job.state, 'completed', JSON.stringify(job));
    await nothingRemains(swift, { id });
  });

  test('a page in Chromium sends its chunks across origins', async (t) => {
    const browser = await launch();
    t.after(() => browser.close());
    const token = await server.token();
    const page = await openPage(browser, server, {
      body: '<input type="file">',
      script: `
        window.updates = [];
        const updateProgressUI = (data) => updates.push(data);
        const api = {
          async post(path, body) {
            const answer = await fetch(path, {
              method: 'POST',
              headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ${token}' },
              body: JSON.stringify(body),
            });
            if (!answer.ok) throw new Error(path + ': ' + answer.status);
            return { data: await answer.json(), status: answer.status };
          },
        };
        ${snippet('stream/uploadVideoWithProgress.js', server)}
        window.begin = () =>
          uploadVideoWithProgress(document.querySelector('input').files[0], { title: 'A clip' }, '${token}');`,
    });
    const puts = [];
    page.on('request', (sent) => sent.method() === 'PUT' && puts.push(sent.url()));
    await page.setInputFiles('input', bulky);
    await page.evaluate('begin()');
    await page.waitForFunction("updates.some(({ type }) => type === 'complete' || type === 'error')", null, { timeout: 120_000 });
    const last = await page.evaluate('updates.at(-1)');
    assert.equal(last.type, 'complete', JSON.stringify(last));
    assert.equal(puts.length, Math.ceil(large.length / (5 * MiB)));
    assert.ok(puts.every((url) => new URL(url).origin === new URL(swift.endpoint).origin), puts.join('\n'));
    assert.deepEqual(page.broke, []);
  });
});

test('in a container of Azure every chunk is a block', { timeout: 180_000 }, async (t) => {
  const azurite = await azuriteDuring(t);
  const server = await Server.during(t, { args: bucketArgs(azurite.url) });
  const upload = await Direct.create(server, { bytes: large, swift: azurite, size: 1 * MiB, answers: 201 });
  const urls = await Promise.all(upload.indexes.map((index) => upload.url(index)));
  assert.ok(urls.every((url) => new URL(url).searchParams.get('comp') === 'block'), urls[1]);
  await Promise.all(upload.indexes.map((index) => upload.putTo(urls[index], upload.chunk(index))));
  await upload.put(1);
  assert.deepEqual(await sizes(upload), Object.fromEntries(upload.indexes.map((i) => [i, upload.chunk(i).length])));
  await measured(await upload.finish());
});

test('the limit of an upload is that of what the bucket has', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { args: [...bucketArgs(), '--max-upload', '8MiB'] });
  const upload = await Direct.create(server, { bytes: large.subarray(0, 10 * MiB), swift });
  await upload.putAll();
  const refused = await upload.tryAssemble();
  assert.equal(refused.status, 400, refused.text);
  assert.match(refused.json.error.message, /^the chunks hold 10485760 bytes, the limit is 8388608$/);
});

test('with --upload-via server the chunks pass through it', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { args: [...bucketArgs(), '--upload-via', 'server'] });
  const upload = await Upload.create(server, { bytes: large, chunks: 3 });
  assert.equal(new URL(await upload.url(0)).origin, server.origin);
  await upload.putAll();
  assert.equal((await remains(swift, `uploads/${upload.id}/`)).length, 3);
  await upload.assemble();
  await measured(await upload.complete());
  await nothingRemains(swift, upload);
});

test('uploads that expire, and what belongs to none, leave the bucket', { timeout: 120_000 }, async (t) => {
  const first = await Server.during(t, { args: bucketArgs() });
  const forgotten = await Direct.create(first, { bytes: large, swift });
  await forgotten.put(0);
  const url = await forgotten.url(1);
  await first.stop();
  // Another data directory: nobody knows that upload any more.
  const server = await Server.during(t, { args: [...bucketArgs(), '--upload-ttl', '8s'] });
  const known = await Direct.create(server, { bytes: large, swift });
  await known.put(0);
  assert.ok(url);
  await nothingRemains(swift, forgotten);
  await nothingRemains(swift, known);
});

describe('a bucket that is not there, or lets nobody in,', () => {
  for (const which of ['missing', 'wrong'])
    test(`is not the fault of who uploads, and may be mended: ${which}`, async (t) => {
      const server = await Server.during(t, { args: [...bucketArgs(swift[which]), '--storage-patience', '1s'] });
      const bytes = await clipBytes({ seconds: 1 });
      const upload = await Upload.create(server, { bytes });
      const url = await server.post('/streaming/get-chunk-upload-url/',
        { videoId: upload.id, chunkIndex: 0, totalChunks: 1 }, await server.token());
      assert.deepEqual([url.status, url.json.error.code], [503, 'storage_unavailable'], url.text);
      const tus = { 'tus-resumable': '1.0.0' };
      const made = await server.request('/files/', { method: 'POST', headers: { ...tus, 'upload-length': '5' } });
      assert.equal(made.status, 201);
      const patched = await server.request(made.headers.location, {
        method: 'PATCH', body: 'hello',
        headers: { ...tus, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' },
      });
      assert.deepEqual([patched.status, patched.json.error.code], [503, 'not_now'], patched.text);
      const form = new FormData();
      form.append('file', new File([bytes], 'v.mp4', { type: 'video/mp4' }));
      const whole = await fetch(`${server.origin}/rpc/uploadVideo`, { method: 'POST', body: form });
      assert.deepEqual([whole.status, (await whole.json()).json.code], [503, 'SERVICE_UNAVAILABLE']);
    });
});
