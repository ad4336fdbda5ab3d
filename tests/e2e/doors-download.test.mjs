// The door /ws/download/{job_id} and GET /api/status/{job_id}: their words, exactly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';
import { publish } from '../support/upload.mjs';

describe('the download door', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  test('says nothing but the pong before there is a job', async () => {
    const watcher = await server.watchDownload('test-job-123');
    watcher.send('ping');
    await watcher.until((message) => message.type === 'pong');
    await watcher.settle();
    assert.deepEqual(watcher.texts, ['{"type":"pong"}']);
    await watcher.leave();
  });

  test('begins with the state of a job that waits', async () => {
    const { json } = await server.post('/jobs/create', {});
    const watcher = await server.watchDownload(json.job_id);
    await watcher.settle();
    assert.deepEqual(watcher.messages, [
      { type: 'status', data: { jobId: json.job_id, status: 'queued', progress: 0 } },
    ]);
    await watcher.leave();
  });

  test('says percent of the job as a whole number', async () => {
    const watcher = await server.watchDownload('halfway');
    await server.tell('halfway', { stage: 'rendering', progress: 0.457, message: 'Rendering' });
    await watcher.until((message) => message.type === 'status');
    assert.deepEqual(watcher.messages, [
      { type: 'status', data: { jobId: 'halfway', status: 'processing', progress: 45 } },
    ]);
    await watcher.leave();
  });

  test('shows a late subscriber the present, once', async () => {
    await server.tell('late', { stage: 'a', progress: 0.1, message: 'first' });
    await server.tell('late', { stage: 'a', progress: 0.2, message: 'second' });
    const watcher = await server.watchDownload('late');
    await watcher.settle();
    assert.deepEqual(watcher.messages, [
      { type: 'status', data: { jobId: 'late', status: 'processing', progress: 20 } },
    ]);
    await watcher.leave();
  });

  test('tells a completion with where it lies, and again to who comes later', async () => {
    const bytes = await clipBytes();
    const token = await server.token();
    const { upload, job } = await publish(server, { bytes, token });
    const watcher = await server.watchDownload(upload.id);
    await watcher.settle();
    assert.equal(watcher.messages.length, 1);
    const { type, data } = watcher.messages[0];
    assert.equal(type, 'status');
    assert.equal(data.jobId, String(upload.id));
    assert.equal(data.status, 'completed');
    assert.equal(data.progress, 100);
    assert.ok(data.fileSize > 0);
    assert.equal(typeof data.storageProvider, 'string');
    assert.equal((await server.get(new URL(data.downloadUrl, server.origin))).status, 200);
    assert.equal(data.error, undefined);
    assert.ok(data.downloadUrl.includes(job.hls_path));
    await watcher.leave();
  });

  test('tells an error, and tells it again to who comes later', async () => {
    const watcher = await server.watchDownload('broken');
    await server.tell('broken', { stage: 'a', progress: 0.5, message: 'Half' });
    await server.tell('broken', { status: 'failed', error: 'Out of memory' });
    const said = await watcher.until((message) => message.data?.status === 'failed');
    assert.deepEqual(said, {
      type: 'status',
      data: { jobId: 'broken', status: 'failed', progress: 50, error: 'Out of memory' },
    });
    const late = await server.watchDownload('broken');
    await late.settle();
    assert.deepEqual(late.messages, [said]);
    await watcher.leave();
    await late.leave();
  });

  test('answers pings in the midst of updates', async () => {
    const watcher = await server.watchDownload('pinged');
    for (let at = 1; at <= 5; at++) {
      await server.tell('pinged', { stage: 'a', progress: at / 10, message: `${at}` });
      watcher.send('ping');
    }
    await watcher.until((message) => message.data?.progress === 50);
    const pongs = () => watcher.messages.filter((message) => message.type === 'pong').length;
    await waitFor(() => pongs() >= 5, 'five answers');
    assert.equal(pongs(), 5);
    await watcher.leave();
  });

  test('says the same over HTTP', async () => {
    await server.tell('polled', { stage: 'a', progress: 0.3, message: 'x' });
    const watcher = await server.watchDownload('polled');
    const { data } = await watcher.until((message) => message.type === 'status');
    const answer = await server.get('/api/status/polled');
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, data);
    assert.match(answer.headers['content-type'], /^application\/json/);
    await watcher.leave();
  });
});
