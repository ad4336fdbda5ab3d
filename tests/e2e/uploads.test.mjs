// Uploads in pieces: in any order, more than once, broken off and taken up
// again, and everything that can be wrong about them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { clip, clipBytes, longClip } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 3;

describe('uploads', () => {
  let server;
  let bytes;

  before(async () => {
    server = await Server.start();
    bytes = await clipBytes({ seconds: SECONDS });
  });
  after(() => server.end());

  const create = (options) => Upload.create(server, { bytes, ...options });

  test('chunks may come in any order', async () => {
    const upload = await create({ chunks: 7 });
    await upload.putAll([6, 2, 0, 5, 1, 4, 3]);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('chunks may come in parallel', async () => {
    const upload = await create({ chunks: 16 });
    await Promise.all(upload.indexes.map((index) => upload.put(index)));
    assert.deepEqual(await upload.present(), upload.indexes);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('a chunk that is sent again replaces the earlier one', async () => {
    const upload = await create({ chunks: 3 });
    await upload.put(1, Buffer.from('not what belongs here'));
    await upload.putAll();
    await upload.put(2);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('one and the same chunk may be sent several times at once', async () => {
    const upload = await create({ chunks: 2 });
    await upload.put(0);
    await Promise.all([1, 2, 3, 4, 5, 6].map(() => upload.put(1)));
    const { chunks } = await upload.status();
    assert.equal(chunks.find((chunk) => chunk.index === 1).size, upload.chunk(1).length);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('a single chunk is an upload too', async () => {
    const upload = await create({ chunks: 1 });
    await upload.putAll();
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('the status names what is there, with sizes', async () => {
    const upload = await create({ chunks: 4 });
    await upload.put(2);
    await upload.put(0);
    const status = await upload.status();
    assert.equal(status.id, upload.id);
    assert.equal(status.total_chunks, 4);
    assert.deepEqual(
      [...status.chunks].sort((a, b) => a.index - b.index),
      [0, 2].map((index) => ({ index, size: upload.chunk(index).length })),
    );
  });

  test('half a chunk is not there, and the upload goes on from what is', async () => {
    const upload = await create({ chunks: 3 });
    await upload.put(0);
    await upload.putBroken(1, Math.floor(upload.chunk(1).length / 2));
    assert.deepEqual(await upload.present(), [0]);
    const missing = upload.indexes.filter((index) => index !== 0);
    await upload.putAll(missing);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('half a chunk does not take the place of a whole one', async () => {
    const upload = await create({ chunks: 2 });
    await upload.putAll();
    await upload.putBroken(1, 10);
    const { chunks } = await upload.status();
    assert.equal(chunks.find((chunk) => chunk.index === 1).size, upload.chunk(1).length);
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
  });

  test('chunks outlive a restart', async (t) => {
    const own = await Server.during(t);
    const upload = await Upload.create(own, { bytes, chunks: 5 });
    await upload.putAll([0, 3]);
    await own.kill();
    await own.start();
    assert.deepEqual(await upload.present(), [0, 3]);
    await upload.putAll([1, 2, 4]);
    await upload.assemble();
    await verify(own, await upload.complete(), SECONDS);
  });

  test('assembling with chunks missing is refused and names them', async () => {
    const upload = await create({ chunks: 5 });
    await upload.putAll([0, 2]);
    const answer = await upload.tryAssemble();
    assert.equal(answer.status, 409, answer.text);
    const { message } = answer.json.error;
    for (const index of [1, 3, 4]) assert.match(message, new RegExp(`\\b${index}\\b`));
    await upload.putAll([1, 3, 4]);
    await upload.assemble();
    await upload.complete();
  });

  test('a count of chunks that contradicts an earlier one is refused', async () => {
    const upload = await create({ chunks: 4 });
    await upload.put(0);
    const answer = await upload.askUrl(1, 5);
    assert.ok([400, 409].includes(answer.status), `${answer.status}`);
    assert.equal(answer.json.error.field, 'totalChunks');
  });

  const senseless = [
    ['an index behind the last', { chunkIndex: 4, totalChunks: 4 }, 'chunkIndex'],
    ['a negative index', { chunkIndex: -1, totalChunks: 4 }, 'chunkIndex'],
    ['half an index', { chunkIndex: 0.5, totalChunks: 4 }, 'chunkIndex'],
    ['an index in words', { chunkIndex: 'one', totalChunks: 4 }, 'chunkIndex'],
    ['no chunks at all', { chunkIndex: 0, totalChunks: 0 }, 'totalChunks'],
    ['a million chunks', { chunkIndex: 0, totalChunks: 1_000_000 }, 'totalChunks'],
    ['no count', { chunkIndex: 0 }, 'totalChunks'],
  ];
  for (const [what, fields, field] of senseless) {
    test(`an URL for ${what} is refused`, async () => {
      const upload = await create();
      const ask = { videoId: upload.id, ...fields };
      const answer = await server.post('/streaming/get-chunk-upload-url/', ask, upload.token);
      assert.equal(answer.status, 400, answer.text);
      assert.equal(answer.json.error.field, field);
    });
  }

  test('an unknown video is 404 at every step', async () => {
    const token = await server.token();
    const ask = { videoId: 987654321, chunkIndex: 0, totalChunks: 1 };
    const answers = await Promise.all([
      server.post('/streaming/get-chunk-upload-url/', ask, token),
      server.post('/streaming/assemble-chunks/', { videoId: 987654321, fileName: 'x.mp4' }, token),
      server.get('/streaming/uploads/987654321', token),
    ]);
    assert.deepEqual(answers.map((answer) => answer.status), [404, 404, 404]);
  });

  test('a body that is not JSON, or no object, is refused', async () => {
    const token = await server.token();
    for (const body of ['{', '[]', '"x"', 'null', '{"videoId":1,}', 'x'.repeat(100)]) {
      const answer = await server.request('/streaming/create-video/', {
        method: 'POST', body, token, headers: { 'content-type': 'application/json' } });
      assert.equal(answer.status, 400, `${body}: ${answer.status}`);
      assert.equal(typeof answer.json.error.message, 'string');
    }
    const huge = await server.post('/streaming/create-video/', { title: 'x'.repeat(300_000) }, token);
    assert.equal(huge.status, 413);
  });

  test('videos get numbers, each its own', async () => {
    const uploads = await Promise.all([1, 2, 3, 4, 5].map(() => create()));
    const ids = uploads.map((upload) => upload.id);
    assert.ok(ids.every(Number.isSafeInteger), `${ids}`);
    assert.equal(new Set(ids).size, ids.length);
  });

  test('nothing at all is not a video', async () => {
    const token = await server.token();
    for (const declared of [{}, { fileSize: 0 }]) {
      const { json } = await server.post('/streaming/create-video/', declared, token);
      const upload = new Upload(server, { id: json.id, bytes: Buffer.alloc(0), chunks: 1, token, fileName: 'x.mp4' });
      await upload.put(0);
      const answer = await upload.tryAssemble();
      assert.equal(answer.status, 400, answer.text);
      assert.notEqual((await upload.job()).state, 'completed');
    }
  });

  test('what is no video fails with a reason, can be mended and assembled again', async () => {
    const upload = await create({ chunks: 2 });
    const watcher = await upload.watch();
    await upload.put(0, Buffer.alloc(upload.chunk(0).length, '<html>'));
    await upload.put(1);
    await upload.assemble();
    const failed = await upload.reach('failed', 'completed');
    assert.equal(failed.state, 'failed');
    await watcher.until((message) => message.type === 'error');
    // Its chunks are still there, or may be sent anew.
    await upload.putAll();
    await upload.assemble();
    await verify(server, await upload.complete(), SECONDS);
    await watcher.until((message) => message.type === 'complete');
    await watcher.leave();
  });

  test('a playlist in disguise does not make ffmpeg read other files', async () => {
    const secret = await clip({ seconds: 2 });
    const playlist = `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://${secret}\n#EXT-X-ENDLIST\n`;
    for (const text of [playlist, `ffconcat version 1.0\nfile '${secret}'\n`]) {
      const upload = await Upload.create(server, { bytes: Buffer.from(text), chunks: 1 });
      await upload.putAll();
      await upload.assemble();
      assert.equal((await upload.reach('failed', 'completed')).state, 'failed');
    }
  });

  test('a second call to assemble while one runs starts nothing twice', async () => {
    const upload = await Upload.create(server, { bytes: readFileSync(await clip({ seconds: 8, size: '640x360' })) });
    const watcher = await upload.watch();
    await upload.putAll();
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => upload.tryAssemble()));
    const codes = answers.map((answer) => answer.status).sort();
    assert.equal(codes[0], 202);
    assert.ok(codes.every((code) => code === 202 || code === 409), `${codes}`);
    await upload.complete();
    await watcher.until((message) => message.type === 'complete');
    await watcher.settle();
    const starts = watcher.messages.filter((message) => message.message === 'Starting chunk assembly');
    assert.equal(starts.length, 1);
    assert.equal(watcher.messages.filter((message) => message.type === 'complete').length, 1);
    const again = await upload.tryAssemble();
    assert.ok([202, 409].includes(again.status), `${again.status}`);
    assert.equal((await upload.job()).state, 'completed');
    await watcher.leave();
  });

  test('a file name is a label and nothing more', async () => {
    for (const fileName of ['../../../etc/passwd', '-i.mp4', 'a b "c".mp4', 'naïve-ビデオ.mp4', '$(id).mp4']) {
      const upload = await create({ chunks: 1, fileName });
      await upload.putAll();
      await upload.assemble();
      await upload.complete();
    }
  });

  test('a chunk that does not add up to what was declared is noticed', async () => {
    const upload = await create({ chunks: 2 });
    await upload.put(0);
    await upload.put(1, upload.chunk(1).subarray(1));
    const answer = await upload.tryAssemble();
    assert.equal(answer.status, 400, answer.text);
    await upload.put(1);
    await upload.assemble();
    await upload.complete();
  });

  test('cancelling ends ffmpeg and leaves nothing behind', async (t) => {
    const own = await Server.during(t);
    const upload = await Upload.create(own, { bytes: readFileSync(await longClip()) });
    const watcher = await own.watchJob(upload.id);
    await upload.putAll();
    await upload.assemble();
    const ffmpegs = await waitFor(
      () => {
        const found = own.children('ffmpeg');
        return found.length > 0 ? found : undefined;
      },
      'ffmpeg to run',
    );
    const answer = await own.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.ok([200, 202, 204].includes(answer.status), `${answer.status}`);
    await upload.reach('cancelled');
    await waitFor(() => own.children('ffmpeg').length === 0, 'ffmpeg to end');
    for (const { pid } of ffmpegs) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    await watcher.until((message) => message.status === 'failed');
    const second = await own.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.ok(second.status < 500, `${second.status}`);
    assert.equal((await upload.job()).state, 'cancelled');
    await watcher.leave();
  });
});
