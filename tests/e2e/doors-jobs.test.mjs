// The door /ws/jobs/{job_id}: its words, exactly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Server } from '../support/server.mjs';

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

// A message without its time, which is checked and must be near.
function timeless({ timestamp, ...rest }) {
  assert.match(timestamp, TIME);
  assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 120_000, timestamp);
  return rest;
}

describe('the jobs door', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  const greeting = (job_id) => ({
    type: 'connected',
    job_id,
    message: 'Connected to job progress stream',
  });

  test('greets, and says nothing of an unknown job', async () => {
    const watcher = await server.watchJob('job_12345');
    await watcher.settle();
    assert.deepEqual(watcher.messages.map(timeless), [greeting('job_12345')]);
    await watcher.leave();
  });

  test('shows numeric ids as strings', async () => {
    const watcher = await server.watchJob(12345);
    await server.tell(12345, { stage: 'rendering', progress: 0.25, message: 'Rendering' });
    const update = await watcher.until((message) => message.status === 'processing');
    assert.deepEqual(timeless(watcher.messages[0]), greeting('12345'));
    assert.equal(update.job_id, '12345');
    await watcher.leave();
  });

  test('says a progress update with its metadata', async () => {
    const watcher = await server.watchJob('rendered');
    await server.tell('rendered', {
      stage: 'rendering',
      progress: 0.75,
      message: 'Rendering frame 1500/2000',
      metadata: { current_frame: 1500, total_frames: 2000 },
    });
    await watcher.until((message) => message.status === 'processing');
    assert.deepEqual(watcher.messages.map(timeless), [
      greeting('rendered'),
      {
        job_id: 'rendered',
        status: 'processing',
        stage: 'rendering',
        progress: 0.75,
        message: 'Rendering frame 1500/2000',
        metadata: { current_frame: 1500, total_frames: 2000 },
      },
    ]);
    await watcher.leave();
  });

  test('keeps the fraction between 0 and 1', async () => {
    const watcher = await server.watchJob('clamped');
    await server.tell('clamped', { stage: 'a', progress: -3, message: 'below' });
    await server.tell('clamped', { stage: 'a', progress: 3, message: 'above' });
    await watcher.until((message) => message.message === 'above');
    assert.deepEqual(watcher.messages.slice(1).map((message) => message.progress), [0, 1]);
    await watcher.leave();
  });

  test('never runs backwards within a stage, but a new stage may begin anew', async () => {
    const watcher = await server.watchJob('forwards');
    await server.tell('forwards', { stage: 'a', progress: 0.6, message: '1' });
    await server.tell('forwards', { stage: 'a', progress: 0.2, message: '2' });
    await server.tell('forwards', { stage: 'b', progress: 0.1, message: '3' });
    await watcher.until((message) => message.message === '3');
    assert.deepEqual(watcher.messages.slice(1).map((message) => message.progress), [0.6, 0.6, 0.1]);
    await watcher.leave();
  });

  test('tells a completion, and tells it again to who comes later', async () => {
    const result = { video_url: 'https://cdn.example.com/video.mp4', duration: 66.67 };
    const watcher = await server.watchJob('done');
    await server.tell('done', { stage: 'rendering', progress: 0.5, message: 'Half' });
    await server.tell('done', { status: 'completed', result, message: 'Job completed successfully' });
    const said = await watcher.until((message) => message.status === 'completed');
    assert.deepEqual(timeless(said), {
      job_id: 'done',
      status: 'completed',
      stage: 'complete',
      progress: 1,
      message: 'Job completed successfully',
      result,
    });
    const late = await server.watchJob('done');
    await late.settle();
    assert.deepEqual(timeless(late.messages[0]), greeting('done'));
    assert.deepEqual(late.messages.slice(1), [said]);
    await watcher.leave();
    await late.leave();
  });

  test('completes without words of its own as the reporter does', async () => {
    await server.tell('terse', { status: 'completed', result: { frames: 1 } });
    const watcher = await server.watchJob('terse');
    const said = await watcher.until((message) => message.status === 'completed');
    assert.equal(said.message, 'Job completed');
    await watcher.leave();
  });

  test('tells an error with the stage and progress it failed at', async () => {
    const watcher = await server.watchJob('broken');
    await server.tell('broken', { stage: 'rendering', progress: 0.5, message: 'Half' });
    await server.tell('broken', { status: 'failed', error: 'Out of memory' });
    const said = await watcher.until((message) => message.status === 'failed');
    assert.deepEqual(timeless(said), {
      job_id: 'broken',
      status: 'failed',
      stage: 'rendering',
      progress: 0.5,
      message: 'Error: Out of memory',
      error: 'Out of memory',
    });
    const late = await server.watchJob('broken');
    await late.settle();
    assert.deepEqual(late.messages.slice(1), [said]);
    await watcher.leave();
    await late.leave();
  });

  test('shows a late subscriber the present, once', async () => {
    await server.tell('late', { stage: 'a', progress: 0.1, message: 'first' });
    await server.tell('late', { stage: 'a', progress: 0.2, message: 'second' });
    const watcher = await server.watchJob('late');
    await watcher.settle();
    assert.deepEqual(watcher.messages.slice(1).map((message) => message.message), ['second']);
    await watcher.leave();
  });

  test('creates a job as the FastAPI example does', async () => {
    const answer = await server.post('/jobs/create', {});
    assert.ok([200, 201].includes(answer.status), `${answer.status}`);
    const { job_id, ...rest } = answer.json;
    assert.deepEqual(rest, { websocket_url: `/ws/jobs/${job_id}`, status: 'queued' });
    const watcher = await server.watch(answer.json.websocket_url);
    await server.tell(job_id, { stage: 'processing', progress: 0.5, message: 'Working...' });
    await watcher.until((message) => message.message === 'Working...');
    await watcher.leave();
  });

  test('refuses a report that makes no sense, and says which field', async () => {
    const bad = [
      [{ stage: 'a', progress: 'half' }, 'progress'],
      [{ stage: 7, progress: 0.5 }, 'stage'],
      [{ status: 'finished' }, 'status'],
      [{ stage: 'a', progress: 0.5, metadata: 'x'.repeat(40_000) }, 'metadata'],
    ];
    for (const [body, field] of bad) {
      const answer = await server.post('/api/jobs/senseless/progress', body);
      assert.equal(Math.floor(answer.status / 100), 4, answer.text);
      assert.equal(typeof answer.json.error.code, 'string');
      assert.equal(typeof answer.json.error.message, 'string');
      assert.equal(answer.json.error.field, field);
    }
    assert.equal(await server.job('senseless'), null);
    const text = await server.request('/api/jobs/senseless/progress', {
      method: 'POST',
      body: '{"stage":',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(text.status, 400);
  });

  test('refuses to move a finished job', async () => {
    await server.tell('over', { status: 'completed', result: null });
    const answer = await server.post('/api/jobs/over/progress', { stage: 'a', progress: 0.1, message: 'again' });
    assert.equal(answer.status, 409, answer.text);
    assert.equal((await server.job('over')).state, 'completed');
  });

  test('is 404 on HTTP for an unknown job', async () => {
    for (const target of ['/api/jobs/nobody', '/api/status/nobody', '/ws/nothing', '/no/such/thing']) {
      const answer = await server.get(target);
      assert.equal(answer.status, 404, target);
      assert.equal(typeof answer.json.error.code, 'string', target);
    }
  });
});
