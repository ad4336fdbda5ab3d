// Redis dies and comes back, with its memory or without. Jobs go on, and whoever watches
// hears the end, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Conversion } from '../support/conversion.mjs';
import { Audience, Fleet, measure } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 20;

for (const keeps of [true, false]) {
  const how = keeps ? 'with its memory' : 'empty';

  test(`Redis is killed in the middle of a conversion and comes back ${how}`, { timeout: 180_000 }, async (t) => {
    const fleet = await Fleet.during(t, { keeps });
    const conversion = await Conversion.begin(t, fleet, SECONDS);
    const { audience, holder } = conversion;
    holder.freeze();
    await fleet.loseRedis();
    holder.thaw();
    await measure(t, `ready again, ${how}`, () => fleet.findRedis());
    await measure(t, `progress again, ${how}`, () => audience.progress());
    await conversion.end();
    // And nothing of it is left to do.
    const next = await fleet.upload({ seconds: 2, chunks: 1 });
    await next.assemble();
    await verify(fleet.b, await next.complete(), 2);
  });

  test(`a conversion ends while Redis is away, which comes back ${how}`, { timeout: 180_000 }, async (t) => {
    const fleet = await Fleet.during(t, { keeps });
    const { upload, audience, holder } = await Conversion.begin(t, fleet, SECONDS);
    await fleet.loseRedis();
    await waitFor(() => holder.ffmpegs.length === 0, 'ffmpeg to end', { timeout: 120_000 });
    await measure(t, `ready again, ${how}`, () => fleet.findRedis());
    const job = await upload.complete();
    await audience.end();
    await verify(fleet.b, job, SECONDS);
    await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
  });
}

test('everything in Redis is thrown away in the middle of a conversion', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const conversion = await Conversion.begin(t, fleet, SECONDS);
  const { audience, holder } = conversion;
  holder.freeze();
  await fleet.redis.cli('flushall');
  await fleet.redis.cli('script', 'flush');
  holder.thaw();
  await audience.progress();
  await conversion.end();
});

test('nodes can be asked to end while Redis is away, and the job is not lost', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { keeps: true, workerArgs: ['--drain-timeout', '100ms'] });
  const { upload, holder } = await Conversion.begin(t, fleet, SECONDS);
  await fleet.redis.stop();
  await measure(t, 'all of them have ended', () => Promise.all([...fleet.serves, ...fleet.workers].map((node) => node.stop())));
  await fleet.redis.start();
  await Promise.all([fleet.a, fleet.b, holder].map((node) => node.start()));
  await fleet.a.ready();
  const job = await upload.complete();
  await verify(fleet.a, job, SECONDS);
  await waitFor(() => fleet.remains(upload.id).length === 0, 'scratch to be cleared');
});

// What waited in its queue is gone with it, and nobody will come for it.
test('a job that an empty Redis no longer knows to be waiting does not wait for ever', {
  timeout: 120_000,
}, async (t) => {
  // Silent jobs are looked after in half that time; else once a minute.
  const fleet = await Fleet.during(t, { workers: 0, serveArgs: ['--report-ttl', '4s'] });
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  await upload.assemble();
  const audience = await Audience.during(t, [[fleet.a], [fleet.b]], upload.id, upload.token, ['stream', 'events']);
  await fleet.loseRedis();
  await fleet.findRedis();
  await fleet.worker();
  await waitFor(() => audience.viewers.every(({ ends }) => ends.length > 0), 'an end', { timeout: 40_000 });
  assert.notEqual((await upload.job()).state, 'queued');
});

test('what is asked while Redis is away is refused, not forgotten', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { keeps: true });
  const upload = await fleet.upload({ seconds: 2, chunks: 2 });
  await fleet.loseRedis();
  const answers = await Promise.all([
    upload.tryAssemble(), upload.askUrl(0), fleet.b.get(`/api/jobs/${upload.id}`, upload.token), fleet.b.get('/api/jobs'),
    fleet.a.post('/streaming/create-video/', { title: 'late' }, upload.token),
    fleet.b.get('/api/status/nobody?wait=60'), fleet.b.get(`/api/jobs/${upload.id}?wait=60&after=1`, upload.token),
  ]);
  for (const { status, json } of answers) assert.deepEqual([status, json.error?.code ?? json.code], [503, 'redis_away']);
  await fleet.findRedis();
  await upload.assemble();
  await verify(fleet.b, await upload.complete(), 2);
});
