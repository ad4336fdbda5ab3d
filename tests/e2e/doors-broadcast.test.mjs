// The door /ws/progress: its words, exactly.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Server } from '../support/server.mjs';

const about = (id) => (message) => message.video_id === id;

describe('the broadcast door', () => {
  test('begins with one message per job in progress', async (t) => {
    const server = await Server.during(t);
    await server.post('/jobs/create', {});
    await server.tell('one', { stage: 'a', progress: 0.1, message: 'x' });
    await server.tell('one', { stage: 'a', progress: 0.25, message: 'x' });
    await server.tell('two', { stage: 'a', progress: 0.5, message: 'x' });
    await server.tell('over', { status: 'completed', result: {} });
    await server.tell('broken', { status: 'failed', error: 'no' });
    const watcher = await server.watchAll();
    await watcher.settle();
    const said = watcher.messages.map(({ type, video_id, percent }) => ({ type, video_id, percent }));
    assert.deepEqual(
      said.sort((a, b) => a.video_id.localeCompare(b.video_id)),
      [
        { type: 'progress', video_id: 'one', percent: 25 },
        { type: 'progress', video_id: 'two', percent: 50 },
      ],
    );
    await watcher.leave();
  });

  test('says nothing to begin with where nothing is going on', async (t) => {
    const server = await Server.during(t);
    const watcher = await server.watchAll();
    await watcher.settle();
    assert.deepEqual(watcher.messages, []);
    await watcher.leave();
  });

  test('hears of every job, with the fields of the document', async (t) => {
    const server = await Server.during(t);
    const watcher = await server.watchAll();
    await server.tell('first', { stage: 'a', progress: 0.42, message: 'x' });
    await server.tell(777, { stage: 'a', progress: 0.5, message: 'x' });
    const first = await watcher.until(about('first'));
    const second = await watcher.until(about('777'));
    for (const message of [first, second]) {
      assert.deepEqual(
        Object.keys(message).sort(),
        ['downloaded_bytes', 'percent', 'total_bytes', 'type', 'video_id'],
      );
      assert.equal(message.type, 'progress');
      assert.equal(message.downloaded_bytes, null);
      assert.equal(message.total_bytes, null);
    }
    assert.equal(first.percent, 42);
    assert.equal(second.percent, 50);
    await watcher.leave();
  });

  test('tells how a job ended, and nothing of it afterwards', async (t) => {
    const server = await Server.during(t);
    const watcher = await server.watchAll();
    await server.tell('good', { stage: 'a', progress: 0.9, message: 'x' });
    await server.tell('good', { status: 'completed', result: {} });
    await server.tell('bad', { stage: 'a', progress: 0.9, message: 'x' });
    await server.tell('bad', { status: 'failed', error: 'no' });
    await watcher.until((message) => about('bad')(message) && message.type === 'status');
    assert.deepEqual(watcher.messages.filter(about('good')).at(-1), {
      type: 'status',
      video_id: 'good',
      status: 'complete',
    });
    assert.deepEqual(watcher.messages.filter(about('bad')).at(-1), {
      type: 'status',
      video_id: 'bad',
      status: 'failed',
    });
    await watcher.settle();
    const late = await server.watchAll();
    await late.settle();
    assert.deepEqual(late.messages, []);
    await watcher.leave();
    await late.leave();
  });

  test('answers a ping with the bare word', async (t) => {
    const server = await Server.during(t);
    const watcher = await server.watchAll();
    watcher.send('ping');
    await watcher.until((message) => message === 'pong');
    await watcher.settle();
    assert.deepEqual(watcher.texts, ['pong']);
    await watcher.leave();
  });
});
