// clients/python, with the system's own Python, Redis, Celery and FastAPI.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { metrics } from '../support/metrics.mjs';
import { freePort } from '../support/ports.mjs';
import { documentTask, package_, run, shim, snippet, start, startCelery, startFastApi } from '../support/python.mjs';
import { Redis } from '../support/redis-server.mjs';
import { Server, temporaryFolder } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

// The one line that changes in the documents' code.
const ours = (name, from = 'reelay') => {
  const text = snippet(name);
  const changed = text.replace('from api.websocket import', `from ${from} import`);
  assert.notEqual(changed, text);
  return changed;
};

const states = (watcher) => watcher.messages.filter(({ status }) => status !== undefined);

// What the document's process_video says, however much of its progress is heard.
function assertProcessed(heard, id) {
  const timeless = heard.map(({ timestamp, ...rest }) => {
    assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    return rest;
  });
  assert.deepEqual(timeless[0], {
    job_id: id, status: 'processing', stage: 'rendering', progress: 0, message: 'Starting video render...',
  });
  assert.deepEqual(timeless.at(-2), {
    job_id: id, status: 'processing', stage: 'rendering', progress: 0.9995,
    message: 'Rendering frame 1999/2000', metadata: { current_frame: 1999 },
  });
  assert.deepEqual(timeless.at(-1), {
    job_id: id, status: 'completed', stage: 'complete', progress: 1, message: 'Video rendering completed',
    result: { video_url: `https://cdn.example.com/videos/${id}.mp4`, duration: 66.67, frames: 2000 },
  });
  const told = timeless.map(({ progress }) => progress);
  assert.deepEqual(told, [...told].sort((a, b) => a - b));
}

test('its unit tests pass, and all of it compiles', async (t) => {
  const python = start(t, { args: ['-W', 'error', '-m', 'unittest', 'discover', '-b', '-s', path.join(package_, 'tests')] });
  assert.equal(await within(python.ended, 'the unit tests'), 0, python.screen);
  assert.match(python.screen, /^Ran \d\d+ tests/m);
  const cache = temporaryFolder('reelay-pyc-');
  t.after(() => rmSync(cache, { recursive: true, force: true }));
  await run(t, { args: ['-m', 'compileall', '-q', package_], env: { PYTHONPYCACHEPREFIX: cache } });
});

describe('to a server', () => {
  test("the document's process_video is seen by a viewer", async (t) => {
    const server = await Server.during(t);
    const viewer = await server.watchJob('job_12345');
    await run(t, {
      script: `${ours('process_video.py')}
import asyncio
asyncio.run(process_video('job_12345'))`,
      env: { REELAY_URL: server.origin },
    });
    await viewer.until(({ status }) => status === 'completed');
    assertProcessed(states(viewer), 'job_12345');
    await viewer.leave();
  });

  test('ten thousand reports a second cost a handful of requests', async (t) => {
    const server = await Server.during(t);
    const viewer = await server.watchJob('busy');
    const before = (await metrics(server)).get('reelay_updates_total');
    const took = await run(t, {
      script: `
import time
from reelay.sync import ProgressReporter
with ProgressReporter() as reporter:
    began = time.monotonic()
    for i in range(20000):
        reporter.report('busy', 'rendering', i / 20000, f'frame {i}', {'frame': i})
        ahead = began + (i + 1) / 10000 - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
    took = time.monotonic() - began
    reporter.report_complete('busy', {'frames': 20000})
print(took)`,
      env: { REELAY_URL: server.origin },
    });
    await viewer.until(({ status }) => status === 'completed');
    const updates = (await metrics(server)).get('reelay_updates_total') - before;
    t.diagnostic(`20,000 reports in ${took} s: ${updates} updates`);
    assert.ok(updates >= 5, `${updates}: a viewer wants to see it move`);
    assert.ok(updates <= took / 0.15 + 4, `${updates} in ${took} s`);
    assert.equal(states(viewer).at(-2).metadata.frame, 19999);
    await viewer.leave();
  });

  test('threads share one reporter, and every job ends', async (t) => {
    const server = await Server.during(t);
    await run(t, {
      script: `
import threading
from reelay.sync import ProgressReporter
reporter = ProgressReporter(strict=True, timeout=30)
def work(n):
    for i in range(500):
        reporter.report(f'job{n}', 'a' if i < 250 else 'b', i / 500, 'x')
    if n % 2:
        reporter.report_error(f'job{n}', 'Out of memory', stage='b')
    else:
        reporter.report_complete(f'job{n}', {'n': n})
threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
status = reporter.get_status('job1')
assert status['status'] == 'failed' and status['progress'] == 499 / 500, status
assert (status['stage'], status['error'], status['message']) == ('b', 'Out of memory', 'Error: Out of memory')
assert reporter.get_status('job2')['result'] == {'n': 2}
assert reporter.get_status('nobody') is None
reporter.close()`,
      env: { REELAY_URL: server.origin },
    });
    const { jobs } = (await server.get('/api/jobs?limit=100')).json;
    assert.deepEqual(jobs.map(({ state }) => state).sort(), [...Array(10).fill('completed'), ...Array(10).fill('failed')]);
  });

  test('a server that was away hears of what happened meanwhile', async (t) => {
    const server = await Server.during(t);
    const python = start(t, {
      script: `
import logging, sys
from reelay.sync import ProgressReporter
logging.basicConfig(level=logging.INFO, format='%(levelname)s %(message)s')
reporter = ProgressReporter(timeout=3)
def heard(word):
    assert sys.stdin.readline().strip() == word
reporter.report('away', 's', 0.1, 'before')
print('begun', reporter.get_status('away')['message'])
heard('down')
for i in range(1000):
    reporter.report('away', 's', 0.2 + i / 10000, f'meanwhile {i}')
reporter.report_complete('ended', {'n': 1})
print('gone on')
heard('close')
reporter.close()`,
      env: { REELAY_URL: server.origin },
    });
    await waitFor(() => python.screen.includes('begun before'), 'the first report');
    await server.stop();
    python.stdin.write('down\n');
    await waitFor(() => python.screen.includes('gone on'), 'it to go on without a server');
    await server.start();
    await waitFor(async () => (await server.job('ended'))?.state === 'completed', 'the end that was kept');
    await waitFor(async () => (await server.job('away'))?.message === 'meanwhile 999', 'the latest');
    python.stdin.write('close\n');
    assert.equal(await python.ended, 0, python.screen);
    assert.equal(python.lines(/^WARNING reports do not get through/).length, 1, python.screen);
    assert.equal(python.lines(/^INFO reports get through again/).length, 1, python.screen);
    assert.equal(python.lines(/^ERROR/).length, 0, python.screen);
  });

  test('a dead server holds nobody up for longer than the timeout', async (t) => {
    const server = await Server.during(t);
    const script = `
import asyncio, time, json, logging
from reelay import ProgressReporter, ReportError
logging.disable(logging.WARNING)
took = {}
async def clock(name, call):
    began = time.monotonic()
    try:
        await call
    except ReportError as error:
        name += ' raised'
    took[name] = time.monotonic() - began
async def main():
    ticks = 0
    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1
    ticking = asyncio.create_task(tick())
    reporter = ProgressReporter(timeout=1.5)
    await clock('report', reporter.report('j', 's', 0.1, 'm'))
    await clock('complete', reporter.report_complete('j', {}))
    await clock('status', reporter.get_status('j'))
    await clock('close', reporter.close())
    strict = ProgressReporter(timeout=1.5, strict=True)
    await clock('error', strict.report_error('j', 'boom'))
    await clock('strict close', strict.close())
    took['ticks'] = ticks
    ticking.cancel()
asyncio.run(main())
print(json.dumps(took))`;
    const check = (took, hangs) => {
      const { ticks, ...times } = took;
      assert.deepEqual(Object.keys(times), ['report', 'complete', 'status raised', 'close', 'error raised', 'strict close']);
      for (const [name, seconds] of Object.entries(times)) assert.ok(seconds < 15, `${name}: ${seconds}`);
      assert.ok(times.report < 1.3);
      assert.ok(times.complete > 1.1 && times['error raised'] > 1.1);
      assert.ok(ticks > 40, `the event loop went on: ${ticks}`);
      // Nobody who refuses is waited for twice.
      if (!hangs) assert.ok(times.close < times.complete, `${times.close}`);
    };
    server.process.kill('SIGSTOP');
    try {
      check(await run(t, { script, env: { REELAY_URL: server.origin } }), true);
    } finally {
      server.process.kill('SIGCONT');
    }
    check(await run(t, { script, env: { REELAY_URL: `http://127.0.0.1:${await freePort()}` } }), false);
  });

  test('a forked process reports on its own, and so does its parent', async (t) => {
    const server = await Server.during(t);
    await run(t, {
      script: `
import os
from reelay.sync import ProgressReporter
reporter = ProgressReporter(strict=True, timeout=20, interval=3600)
reporter.report('parent', 's', 0.1, 'first')
reporter.get_status('parent')
reporter.report('parent', 's', 0.2, "the parent's alone")
children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        reporter.report(f'child{n}', 's', 0.5, 'working')
        reporter.report_complete(f'child{n}', {'pid': os.getpid()})
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
assert reporter.get_status('child2')['status'] == 'completed'
reporter.report_complete('parent', {})
reporter.close()`,
      env: { REELAY_URL: server.origin },
    });
    const results = await Promise.all([0, 1, 2].map(async (n) => (await server.job(`child${n}`)).result.pid));
    assert.equal(new Set(results).size, 3);
    assert.equal((await server.job('parent')).state, 'completed');
    // first, second, end; two of each child
    assert.equal((await metrics(server)).get('reelay_updates_total'), 9);
  });

  test('what waits is sent when the interpreter ends', async (t) => {
    const server = await Server.during(t);
    await run(t, {
      script: `
import asyncio
from reelay import ProgressReporter
async def main():
    reporter = ProgressReporter(interval=3600)
    await reporter.report('left', 's', 0.1, 'first')
    await reporter.report('left', 's', 0.7, 'last')
    # Cancelled before it was told: it is told all the same.
    task = asyncio.create_task(reporter.report_complete('ended', {}))
    await asyncio.sleep(0)
    task.cancel()
asyncio.run(main())`,
      env: { REELAY_URL: server.origin },
    });
    assert.equal((await server.job('left')).message, 'last');
    assert.equal((await server.job('ended')).state, 'completed');
  });

  test('a token is shown, and a refusal is told by its name', async (t) => {
    const server = await Server.during(t, { args: ['--auth', 'all'] });
    const script = `
import json
from reelay.sync import ProgressReporter, ReportError
said = {}
for strict in (True, False):
    reporter = ProgressReporter(strict=strict)
    for end in (1, 2):
        try:
            reporter.report_complete(f'job{strict}', {})
        except ReportError as error:
            said[end] = [error.code, error.job_id]
    reporter.close()
print(json.dumps(said))`;
    const env = { REELAY_URL: `${server.origin}/` };
    const token = await server.token();
    assert.deepEqual(await run(t, { script, env: { ...env, REELAY_TOKEN: token } }), { 2: ['already_finished', 'jobTrue'] });
    assert.deepEqual(await run(t, { script, env }), { 1: ['token_required', 'jobTrue'], 2: ['token_required', 'jobTrue'] });
    assert.equal((await server.job('jobFalse', token)).state, 'completed');
  });

  test('what it lets through, the server takes', async (t) => {
    const server = await Server.during(t);
    await run(t, {
      script: `
import random
from reelay.message import JSON_MAX
from reelay.sync import ProgressReporter
reporter = ProgressReporter(strict=True, timeout=20, interval=0)
numbers = [0.1, 1e20, 1e-7, -0.0, 1.5e300, 1 / 3, 2.0, 2**63 - 1, -2**63, 123456789.123]
deep = 'x'
for _ in range(32):
    deep = {'k': deep}
largest = []
for value in numbers + ['x', 'é\\u2028"\\\\/\\x01\\x7f😀']:
    low, high = 1, JSON_MAX
    while low < high:  # as many as it lets through
        middle = (low + high + 1) // 2
        try:
            reporter._progress('probe', 's', 0, 'm', {'k': [value] * middle})
            low = middle
        except ValueError:
            high = middle - 1
    largest.append({'k': [value] * low})
for i, metadata in enumerate(largest + [deep]):
    reporter.report_complete(f'result{i}', metadata)
    reporter.report(f'metadata{i}', 's' * 4096, 0.5, 'é' * 9999, metadata)
    assert reporter.get_status(f'metadata{i}')['metadata'] == metadata, i
for job_id in ('x' * 128, "A-z_0.:~@+=,!$", '-', '~', 7):
    reporter.report_complete(job_id, None)
    assert reporter.get_status(job_id)['status'] == 'completed'
reporter.report_error('texts', 'nul \\0, surrogate \\ud800, ' + 'long ' * 9999)
reporter.close()`,
      env: { REELAY_URL: server.origin },
    });
    // One byte more is what the server refuses: the limits are the same.
    const body = (n) => ({ stage: 's', progress: 0, metadata: { k: 'x'.repeat(n) } });
    const most = 16384 - '{"k":""}'.length;
    await server.report('limit', body(most));
    assert.equal((await server.post('/api/jobs/limit/progress', body(most + 1))).status, 400);
  });

  test("the document's FastAPI background task reports from its own event loop", async (t) => {
    const server = await Server.during(t);
    const api = await startFastApi(t, { port: await freePort(), paths: [shim(t)], env: { REELAY_URL: server.origin } });
    const created = await waitFor(
      () => server.request(`${api.origin}/jobs/create`, { method: 'POST' }).catch(() => null), 'FastAPI');
    assert.equal(created.status, 200, created.text);
    assert.equal(created.json.status, 'queued');
    const viewer = await server.watch(created.json.websocket_url);
    const end = await viewer.until(({ status }) => status === 'completed');
    assert.deepEqual(end.result, { result: 'success' });
    await viewer.leave();
    await api.stop();
  });
});

describe('to Redis', () => {
  test("subscribers hear the document's messages, and the status stays for an hour", async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('job_progress:*');
    const status = await run(t, {
      script: `${ours('process_video.py')}
import asyncio, json
asyncio.run(process_video('job_12345'))
async def later():
    reporter = ProgressReporter()
    print(json.dumps([await reporter.get_status('job_12345'), await reporter.get_status('nobody')]))
    await reporter.close()
asyncio.run(later())`,
      env: { REDIS_URL: redis.url },
    });
    await waitFor(() => heard.at(-1)?.message.status === 'completed', 'the end');
    assert.ok(heard.every(({ channel }) => channel === 'job_progress:job_12345'));
    assertProcessed(heard.map(({ message }) => message), 'job_12345');
    assert.deepEqual(status, [heard.at(-1).message, null]);
    assert.deepEqual(JSON.parse(await redis.cli('get', 'job_status:job_12345')), heard.at(-1).message);
    const ttl = Number(await redis.cli('ttl', 'job_status:job_12345'));
    assert.ok(ttl > 3500 && ttl <= 3600, String(ttl));
  });

  test('ten thousand reports a second cost a handful of messages, with and without await', async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('job_progress:*');
    const took = await run(t, {
      script: `
import asyncio, json, time
import reelay, reelay.sync
def pace(began, i):
    return began + (i + 1) / 10000 - time.monotonic()
def work():
    with reelay.sync.ProgressReporter() as reporter:
        began = time.monotonic()
        for i in range(10000):
            reporter.report('sync', 'rendering', i / 10000, f'frame {i}')
            if pace(began, i) > 0.001:
                time.sleep(pace(began, i))
        took = time.monotonic() - began
        reporter.report_complete('sync', {})
        return took
async def work_async():
    async with reelay.ProgressReporter() as reporter:
        began = time.monotonic()
        for i in range(10000):
            await reporter.report('async', 'rendering', i / 10000, f'frame {i}')
            if pace(began, i) > 0.001:
                await asyncio.sleep(pace(began, i))
        took = time.monotonic() - began
        await reporter.report_complete('async', {})
        return took
print(json.dumps({'sync': work(), 'async': asyncio.run(work_async())}))`,
      env: { REDIS_URL: redis.url },
    });
    for (const [id, seconds] of Object.entries(took)) {
      const mine = () => heard.filter(({ message }) => message.job_id === id);
      await waitFor(() => mine().at(-1)?.message.status === 'completed', `the end of ${id}`);
      t.diagnostic(`${id}: 10,000 reports in ${seconds} s: ${mine().length} messages`);
      assert.ok(mine().length >= 5, `${mine().length}: a viewer wants to see it move`);
      assert.ok(mine().length <= seconds / 0.15 + 4, `${mine().length} in ${seconds} s`);
      assert.equal(mine().at(-2).message.message, 'frame 9999');
    }
  });

  test('of many reporters the same is last in channel and key', async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('job_progress:shared');
    await run(t, {
      script: `
import threading
from reelay.sync import ProgressReporter
def work(n):
    with ProgressReporter(timeout=20) as reporter:
        for i in range(40):
            reporter.report('shared', f'stage {n} {i}', 0.5, '')
            if i % 8 == 0:
                reporter.get_status('shared')
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()`,
      env: { REDIS_URL: redis.url },
    });
    await redis.cli('publish', 'job_progress:shared', '"over"');
    await waitFor(() => heard.at(-1)?.message === 'over', 'the end');
    assert.deepEqual(JSON.parse(await redis.cli('get', 'job_status:shared')), heard.at(-2).message);
  });

  test('what a full Redis cannot keep is not published, and an end told once it has room', async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('*');
    await redis.cli('config', 'set', 'maxmemory', '1');
    const python = start(t, {
      script: `
import logging, sys
from reelay.sync import ProgressReporter
logging.basicConfig(format='%(levelname)s %(message)s')
reporter = ProgressReporter(timeout=3)
reporter.report_complete('full', {'secret': 'hush'})
print('went on')
sys.stdin.readline()
reporter.close()`,
      env: { REDIS_URL: redis.url },
    });
    await waitFor(() => python.screen.includes('went on'), 'it to go on');
    await redis.cli('publish', 'mark', '{}');
    await waitFor(() => heard.length > 0, 'the mark');
    assert.equal(heard[0].channel, 'mark');
    await redis.cli('config', 'set', 'maxmemory', '0');
    await waitFor(async () => (await redis.cli('get', 'job_status:full')).includes('completed'), 'the end');
    python.stdin.end();
    assert.equal(await within(python.ended, 'the end of Python'), 0, python.screen);
    assert.match(python.screen, /^WARNING reports do not get through, trying on: Redis: .*memory/m);
    assert.doesNotMatch(python.screen, /ERROR|hush/);
  });

  test('a hung Redis does not hold the event loop up', async (t) => {
    const redis = await Redis.during(t);
    const python = start(t, {
      script: `
import asyncio, json, sys, time
from reelay import ProgressReporter
async def main():
    reporter = ProgressReporter(timeout=1.5)
    await reporter.report_complete('warm', {})
    print('warm')
    sys.stdin.readline()
    ticks = 0
    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1
    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    for i in range(10000):
        await reporter.report('hung', 's', i / 10000, f'm{i}')
    reported = time.monotonic()
    await reporter.report_complete('hung', {})
    ended = time.monotonic()
    print(json.dumps([reported - began, ended - reported, ticks]))
    sys.stdin.readline()
    assert (await reporter.get_status('hung'))['status'] == 'completed'
    await reporter.close()
asyncio.run(main())`,
      env: { REDIS_URL: redis.url },
    });
    await waitFor(() => python.screen.includes('warm'), 'the first report');
    redis.process.kill('SIGSTOP');
    python.stdin.write('hung\n');
    const [reports, end, ticks] = JSON.parse(await waitFor(() => python.lines(/^\[/)[0], 'it to go on'));
    redis.process.kill('SIGCONT');
    assert.ok(reports < 20, `${reports} s for 10,000 reports`);
    assert.ok(end > 1.1 && end < 15, `${end} s for an end`);
    assert.ok(ticks > 20, `the event loop went on: ${ticks}`);
    await waitFor(async () => (await redis.cli('get', 'job_status:hung')).includes('completed'), 'the end that was kept');
    python.stdin.write('close\n');
    assert.equal(await within(python.ended, 'the end of Python'), 0, python.screen);
  });

  test('a failure shows how far the job was, also when another reporter tells it', async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('job_progress:*');
    await run(t, {
      script: `
from reelay.sync import ProgressReporter
with ProgressReporter() as reporter:
    reporter.report('job_1', 'rendering', 0.5, 'Halfway')
with ProgressReporter() as reporter:
    reporter.report_error('job_1', 'Out of memory', stage='rendering')
    reporter.report_error('job_2', 'Failed to decode video')`,
      env: { REDIS_URL: redis.url },
    });
    await waitFor(() => heard.length === 3, 'three messages');
    const [, { message: first }, { message: second }] = heard;
    for (const message of [first, second]) delete message.timestamp;
    assert.deepEqual(first, {
      job_id: 'job_1', status: 'failed', stage: 'rendering', progress: 0.5,
      message: 'Error: Out of memory', error: 'Out of memory',
    });
    assert.equal(second.stage, 'error');
    assert.equal(second.progress, 0);
  });

  test('a Redis that hangs or is gone holds nobody up, and hears the rest when it is back', async (t) => {
    const redis = await Redis.during(t);
    const python = start(t, {
      script: `
import sys, time
from reelay.sync import ProgressReporter, ReportError
reporter = ProgressReporter(timeout=3)
strict = ProgressReporter(timeout=3, strict=True)
def timed(call, *args):
    began = time.monotonic()
    try:
        call(*args)
    except ReportError:
        print('raised')
    took = time.monotonic() - began
    assert took < 15, (call, took)
    return took
reporter.report_complete('warm', {})
strict.report_complete('warm', {})
print('warm')
for line in sys.stdin:
    word = line.strip()
    assert sum(timed(reporter.report, word, 's', i / 1000, f'm{i}') for i in range(1000)) < 20
    timed(reporter.report_complete, f'{word}-end', {})
    timed(strict.report_error, f'{word}-strict', 'x')
    print('done', word)
reporter.close()
strict.close()`,
      env: { REDIS_URL: redis.url },
    });
    await waitFor(() => python.screen.includes('warm'), 'the first reports');
    redis.process.kill('SIGSTOP');
    python.stdin.write('hung\n');
    await waitFor(() => python.screen.includes('done hung'), 'it to go on while Redis hangs');
    redis.process.kill('SIGCONT');
    const has = (key, text) => async () => (await redis.cli('get', `job_status:${key}`)).includes(text);
    await waitFor(has('hung-end', 'completed'), 'the end after SIGCONT');
    await waitFor(has('hung', 'm999'), 'the latest after SIGCONT');
    await redis.stop();
    python.stdin.write('gone\n');
    await waitFor(() => python.screen.includes('done gone'), 'it to go on without Redis');
    await redis.start();
    await waitFor(has('gone-end', 'completed'), 'the end after the restart');
    await waitFor(has('gone', 'm999'), 'the latest after the restart');
    python.stdin.end();
    assert.equal(await within(python.ended, 'the end of Python'), 0, python.screen);
    assert.equal(python.lines(/^raised/).length, 2, python.screen);
  });

  test('forked processes have connections of their own', async (t) => {
    const redis = await Redis.during(t);
    const heard = await redis.subscribe('job_progress:*');
    await run(t, {
      script: `
import multiprocessing
from reelay.sync import ProgressReporter
reporter = ProgressReporter(strict=True, timeout=20)
def work(n):
    for i in range(100):
        reporter.report(f'job{n}', 's', i / 100, str(i))
    reporter.report_complete(f'job{n}', {})
if __name__ == '__main__':
    reporter.report_complete('parent', {})
    with multiprocessing.get_context('fork').Pool(4) as pool:
        pool.map(work, range(12))
    reporter.report_complete('parent-again', {})
    reporter.close()`,
      env: { REDIS_URL: redis.url },
    });
    const ended = () => heard.filter(({ message }) => message.status === 'completed').map(({ message }) => message.job_id);
    await waitFor(() => ended().length === 14, 'all ends');
    assert.equal(new Set(ended()).size, 14);
  });
});

describe('from Celery', () => {
  test("the document's task, as it stands", async (t) => {
    const server = await Server.during(t);
    const redis = await Redis.during(t);
    const { send, stop } = startCelery(t, {
      broker: redis.url, tasks: documentTask(), paths: [shim(t)], env: { REELAY_URL: server.origin } });
    const viewers = await Promise.all(['one', 'two', 'three'].map((id) => server.watchJob(id)));
    await Promise.all(['one', 'two', 'three'].map(send));
    for (const viewer of viewers) {
      await viewer.until(({ status }) => status === 'completed');
      const [first, end] = states(viewer);
      assert.deepEqual([first.stage, first.progress, first.message], ['rendering', 0.5, 'Rendering...']);
      assert.deepEqual([end.progress, end.result], [1, { video: '/v.mp4' }]);
      await viewer.leave();
    }
    await stop();
  });

  test('one reporter for all tasks, made before the fork', async (t) => {
    const server = await Server.during(t);
    const redis = await Redis.during(t);
    const tasks = `
from reelay.sync import ProgressReporter
reporter = ProgressReporter()
reporter.report('worker', 'starting', 0.0, 'made before the fork')
@celery_app.task(bind=True)
def render_video(self, video_path):
    for frame in range(2000):
        reporter.report(self.request.id, 'rendering', frame / 2000, f'Rendering frame {frame}/2000')
    reporter.report_complete(self.request.id, {'pid': os.getpid()})
`;
    const { send, stop } = startCelery(t, { broker: redis.url, tasks, env: { REELAY_URL: server.origin } });
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    await Promise.all(ids.map(send));
    for (const id of ids) {
      await waitFor(async () => (await server.job(id))?.state === 'completed', `the end of ${id}`);
    }
    await stop();
  });

  for (const reporter of ['reelay', 'plain']) {
    test(`the document's task through Redis, with api.websocket from ${reporter}`, async (t) => {
      const redis = await Redis.during(t);
      const heard = await redis.subscribe('job_progress:*');
      const { send, stop } = startCelery(t, {
        broker: redis.url, tasks: documentTask(), paths: [shim(t, reporter)], env: { REDIS_URL: redis.url } });
      await Promise.all(['one', 'two', 'three'].map(send));
      await waitFor(() => heard.filter(({ message }) => message.status === 'completed').length === 3, 'three ends');
      for (const id of ['one', 'two', 'three']) {
        const mine = heard.filter(({ channel }) => channel === `job_progress:${id}`).map(({ message }) => message);
        assert.equal(mine.length, 2);
        assert.deepEqual([mine[0].stage, mine[0].progress, mine[0].message], ['rendering', 0.5, 'Rendering...']);
        assert.deepEqual([mine[1].progress, mine[1].result], [1, { video: '/v.mp4' }]);
        assert.deepEqual(JSON.parse(await redis.cli('get', `job_status:${id}`)), mine[1], 'who comes late finds the end');
      }
      await stop();
    });
  }
});
