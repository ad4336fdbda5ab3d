// Workers that know nothing of nodes and publish to Redis by themselves: they are heard at
// every node, whatever happens between them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Audience, Fleet, measure } from '../support/fleet.mjs';
import { start } from '../support/python.mjs';
import { waitFor } from '../support/wait.mjs';

// A worker of somebody else's, with the system's own Python client.
const REPORTER = `
import json, sys, redis
r = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
for line in sys.stdin:
    job, message, keep = json.loads(line)
    if keep:
        r.setex("job_status:" + job, 3600, json.dumps(message))
        r.publish("job_progress:" + job, json.dumps(message))
    else:
        r.publish("progress:" + job, json.dumps(message))
    print("said", flush=True)
`;

function reporter(t, redis) {
  const python = start(t, { args: ['-u', '-c', REPORTER, String(redis.port)] });
  let said = 0;
  return async (job, message, keep = true) => {
    python.stdin.write(`${JSON.stringify([job, message, keep])}\n`);
    said++;
    await waitFor(() => python.lines(/^said/).length >= said, 'the reporter', { every: 3 });
  };
}

const message = (job, progress, rest = {}) => ({
  job_id: job, status: 'processing', stage: 'rendering', progress, message: `at ${progress}`, ...rest,
});
const end = (job) => message(job, 1, { status: 'completed', stage: 'complete', result: { frames: 3 } });

test("a foreign worker's reports are seen at every node, whatever happens to who listens", { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const { redis } = fleet;
  const report = reporter(t, redis);
  const token = await fleet.a.token();
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], 'foreign', token);
  for (const percent of [1, 2, 3]) {
    await report('foreign', message('foreign', percent / 10));
    await audience.heard(percent);
  }
  // All who listen are thrown out, again and again.
  for (const percent of [4, 5, 6]) {
    await redis.cli('client', 'kill', 'type', 'pubsub');
    await report('foreign', message('foreign', percent / 10));
    await audience.heard(percent);
  }
  // The end is said while nobody listens, for certain.
  const text = JSON.stringify(JSON.stringify(end('foreign')));
  await redis.atOnce(['client kill type pubsub', `setex job_status:foreign 3600 ${text}`, `publish job_progress:foreign ${text}`]);
  await measure(t, 'the end that was said to nobody', () => audience.end());
  for (const viewer of audience.viewers) assert.equal(viewer.heard.length, 7, viewer.told());
  for (const node of fleet.serves) assert.deepEqual((await node.job('foreign', token)).result, { frames: 3 });
});

test('bytes that somebody reports are seen at every node', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const report = reporter(t, fleet.redis);
  const watchers = [await fleet.a.watchAll(), await fleet.b.watchAll()];
  await fleet.redis.isAllHeard(2);
  for (const percent of [10, 55.5, 90]) {
    await report('bytes', { percent, downloaded_bytes: percent * 10, total_bytes: 1000 }, false);
    for (const watcher of watchers) {
      const heard = await watcher.until((one) => one.video_id === 'bytes' && one.percent === percent, `${percent}`);
      assert.equal(heard.downloaded_bytes, percent * 10);
    }
  }
  for (const watcher of watchers) {
    await watcher.settle();
    assert.equal(watcher.messages.filter((one) => one.video_id === 'bytes').length, 3, watcher.texts.join('\n'));
    watcher.drop();
  }
});

test('a job that only its status tells of is found at every node', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const status = JSON.stringify(message('silent', 0.4));
  await fleet.redis.cli('setex', 'job_status:silent', '3600', status);
  for (const node of fleet.serves) {
    const job = await node.job('silent');
    assert.equal(job.state, 'processing');
    assert.equal(job.progress, 0.4);
  }
});

test("the document's own reporter is heard through a Redis that comes back empty", { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 0 });
  const token = await fleet.a.token();
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], 'lost', token);
  const report = reporter(t, fleet.redis);
  await report('lost', message('lost', 0.3));
  await audience.heard(1);
  await fleet.loseRedis();
  await fleet.findRedis();
  const again = reporter(t, fleet.redis);
  // Who has lost it all is told by those who have not.
  await waitFor(async () => (await fleet.b.job('lost', token))?.progress === 0.3, 'the job to be back');
  await again('lost', message('lost', 0.7));
  await audience.heard(2);
  await again('lost', end('lost'));
  await audience.end();
});
