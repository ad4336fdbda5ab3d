// The door /socket/stream/progress/<video_id>/: its words, exactly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { publish, Upload } from '../support/upload.mjs';
import { clipBytes } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';

describe('the stream door', () => {
  let server;
  let token;

  before(async () => {
    server = await Server.start();
    token = await server.token();
  });
  after(() => server.end());

  const greeting = (video_id) => ({
    type: 'connection',
    status: 'connected',
    message: 'Connected to video progress stream',
    video_id,
  });

  test('greets', async () => {
    const watcher = await server.watchStream(123, token);
    await watcher.settle();
    assert.deepEqual(watcher.messages, [greeting(123)]);
    await watcher.leave();
    assert.equal(watcher.close.code, 1000);
  });

  const shown = [
    ['0', 0],
    ['4711', 4711],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', '9007199254740992'],
    ['007', '007'],
    ['+1', '+1'],
    ['abc123-uid', 'abc123-uid'],
  ];
  for (const [id, value] of shown) {
    test(`shows the id ${id} as a ${typeof value}`, async () => {
      const watcher = await server.watchStream(id, token);
      await watcher.settle();
      assert.deepEqual(watcher.messages, [greeting(value)]);
      await watcher.leave();
    });
  }

  test('says a progress update with the percent of the stage', async () => {
    const watcher = await server.watchStream(1001, token);
    await server.tell(1001, { stage: 'assembling', progress: 0.45, message: 'Reading chunk 5/10' });
    await watcher.until((message) => message.type === 'progress');
    assert.deepEqual(watcher.messages, [
      greeting(1001),
      {
        type: 'progress',
        stage: 'assembling',
        progress: 45,
        message: 'Reading chunk 5/10',
        video_id: 1001,
        status: 'processing',
      },
    ]);
    await watcher.leave();
  });

  test('says only whole numbers from 0 to 100', async () => {
    const watcher = await server.watchStream('whole', token);
    for (const progress of [-1, 0.001, 0.4567, 0.999, 7]) {
      await server.tell('whole', { stage: 'converting', progress, message: `at ${progress}` });
    }
    await watcher.until((message) => message.message === 'at 7');
    for (const { progress } of watcher.messages.slice(1)) {
      assert.ok(Number.isInteger(progress) && progress >= 0 && progress <= 100, `${progress}`);
    }
    await watcher.leave();
  });

  test('shows a late subscriber the present, once', async () => {
    await server.tell(1002, { stage: 'assembling', progress: 0.5, message: 'Reading chunk 1/2' });
    await server.tell(1002, { stage: 'converting', progress: 0.3, message: 'Encoding' });
    const watcher = await server.watchStream(1002, token);
    await watcher.settle();
    assert.deepEqual(watcher.messages, [
      greeting(1002),
      {
        type: 'progress',
        stage: 'converting',
        progress: 30,
        message: 'Encoding',
        video_id: 1002,
        status: 'processing',
      },
    ]);
    await watcher.leave();
  });

  test('says nothing of a job that is unknown or waits', async () => {
    const { json } = await server.post('/jobs/create', {});
    const watcher = await server.watchStream(json.job_id, token);
    const unknown = await server.watchStream('nobody-knows-it', token);
    await watcher.settle();
    await unknown.settle();
    assert.deepEqual(watcher.messages, [greeting(json.job_id)]);
    assert.deepEqual(unknown.messages, [greeting('nobody-knows-it')]);
    await watcher.leave();
    await unknown.leave();
  });

  test('tells an error, and tells it again to who comes later', async () => {
    const watcher = await server.watchStream(1003, token);
    await server.tell(1003, { stage: 'converting', progress: 0.4, message: 'Encoding' });
    await server.tell(1003, { status: 'failed', error: 'FFmpeg error: no such codec', stage: 'converting' });
    const error = await watcher.until((message) => message.type === 'error');
    assert.deepEqual(Object.keys(error).sort(), ['error', 'message', 'status', 'type', 'video_id']);
    assert.equal(error.status, 'failed');
    assert.equal(error.video_id, 1003);
    assert.equal(error.error, 'FFmpeg error: no such codec');
    assert.ok(error.message.length > 0);
    const late = await server.watchStream(1003, token);
    await late.settle();
    assert.deepEqual(late.messages, [greeting(1003), error]);
    await watcher.leave();
    await late.leave();
  });

  test('tells a completion, and tells it again to who comes later', async () => {
    const bytes = await clipBytes();
    const { upload, job } = await publish(server, { bytes, token });
    const late = await upload.watch();
    await late.settle();
    assert.deepEqual(late.messages, [
      greeting(upload.id),
      {
        type: 'complete',
        status: 'completed',
        message: 'Video processing completed successfully',
        video_id: upload.id,
        hls_path: job.hls_path,
      },
    ]);
    assert.match(job.hls_path, /^videos\/hls\/[A-Za-z0-9_-]+$/);
    await late.leave();
  });

  test('says why a file could not be converted', async () => {
    const upload = await Upload.create(server, { bytes: Buffer.from('this is no video\n'.repeat(500)), token });
    const watcher = await upload.watch();
    await upload.putAll();
    await upload.assemble();
    const error = await watcher.until((message) => message.type === 'error');
    assert.equal(error.status, 'failed');
    assert.match(error.message, /^(Chunk assembly|HLS conversion) failed$/);
    assert.equal(error.video_id, upload.id);
    assert.ok(error.error.length > 0);
    await watcher.leave();
  });

  test('reads what it does not understand and goes on', async () => {
    const watcher = await server.watchStream(1004, token);
    watcher.send('ping');
    watcher.send({ type: 'hello' });
    watcher.send('{{{');
    await server.tell(1004, { stage: 'converting', progress: 0.1, message: 'Encoding' });
    await watcher.until((message) => message.type === 'progress');
    assert.equal(watcher.messages.length, 2);
    await watcher.leave();
  });
});
