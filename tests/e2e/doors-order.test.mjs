// What every door owes its clients: nothing older after something newer, and
// the end, always.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Server } from '../support/server.mjs';

// How far a message says the job is; undefined if it says nothing of that kind.
const readers = {
  stream: (message) => message.progress,
  download: (message) => message.data?.progress,
  jobs: (message) => message.progress,
  broadcast: (message) => message.percent,
};

const isEnd = {
  stream: (message) => message.type === 'complete',
  download: (message) => message.data?.status === 'completed',
  jobs: (message) => message.status === 'completed',
  broadcast: (message) => message.type === 'status',
};

describe('order', () => {
  let server;
  let token;

  before(async () => {
    server = await Server.start({ args: ['--threads', '3'] });
    token = await server.token();
  });
  after(() => server.end());

  const enter = (door, id) => ({
    stream: () => server.watchStream(id, token),
    download: () => server.watchDownload(id),
    jobs: () => server.watchJob(id),
    broadcast: () => server.watchAll(),
  })[door]();

  // Several reporters at once, in no order that anybody promised.
  const reportAll = async (id, count) => {
    const steps = [...Array(count).keys()];
    const reporter = async () => {
      for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
        await server.report(id, { stage: 'rendering', progress: step / count, message: `${step}` });
      }
    };
    await Promise.all([reporter(), reporter(), reporter()]);
    await server.report(id, { status: 'completed', result: {} });
  };

  for (const door of Object.keys(readers)) {
    test(`${door}: nobody sees a job run backwards, everybody sees it end`, async () => {
      const id = `ordered-${door}`;
      const watchers = await Promise.all([1, 2, 3, 4].map(() => enter(door, id)));
      const done = reportAll(id, 300);
      // Some come while it is under way.
      for (let late = 0; late < 8; late++) watchers.push(await enter(door, id));
      await done;
      for (const watcher of watchers) {
        const mine = (message) => door !== 'broadcast' || message.video_id === id;
        await watcher.until((message) => mine(message) && isEnd[door](message), 'the end');
        await watcher.settle();
        const said = watcher.messages.filter(mine);
        assert.ok(isEnd[door](said.at(-1)), 'something was said behind the end');
        const numbers = said.map(readers[door]).filter((number) => typeof number === 'number');
        for (let at = 1; at < numbers.length; at++) {
          assert.ok(numbers[at] >= numbers[at - 1], `${numbers[at]} behind ${numbers[at - 1]}`);
        }
        watcher.drop();
      }
    });
  }

  test('the number of a state grows with every change', async () => {
    let last = 0;
    for (let step = 0; step < 20; step++) {
      await server.tell('numbered', { stage: 'a', progress: step / 20, message: `${step}` });
      const { seq, message } = await server.job('numbered');
      assert.equal(message, `${step}`);
      assert.ok(seq > last, `${seq} behind ${last}`);
      last = seq;
    }
  });
});
