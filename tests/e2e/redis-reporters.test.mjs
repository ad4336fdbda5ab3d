// Who reports through Redis, from any language, is seen at every door of a server on that Redis.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Listener } from '../support/listener.mjs';
import { freePort } from '../support/ports.mjs';
import { documentTask, run, shim, snippet, start, startCelery, startFastApi } from '../support/python.mjs';
import { Redis } from '../support/redis-server.mjs';
import { binary, environment, root, Server, temporaryFolder } from '../support/server.mjs';
import { Gateway } from '../support/socketio.mjs';
import { waitFor, within } from '../support/wait.mjs';

async function serve(t, redis, options) {
  const server = await Server.during(t, { args: ['--engine', redis.url], ...options });
  await waitFor(async () => (await server.get('/ready')).status === 200, 'the server to be ready');
  return Object.assign(server, { redis });
}
const REPORTERS = ['reelay', 'plain'];

async function pair(t) {
  const redis = await Redis.during(t);
  return { redis, server: await serve(t, redis) };
}

// A door: how it is opened, giving what has `messages`, and what a message of it says of the
// job: its percent, 'completed', 'failed', or undefined when it is about something else.
const whole = (fraction) => Math.round(fraction * 100);
const ended = (status) => (['completed', 'failed'].includes(status) ? status : undefined);
const doors = {
  stream: {
    open: async (server, id) => server.watchStream(id, await server.token()),
    says: ({ type, status, progress }) => ended(status) ?? (type === 'progress' ? progress : undefined),
  },
  download: {
    open: (server, id) => server.watchDownload(id),
    says: ({ data }) => ended(data?.status) ?? (data?.status === 'processing' ? data.progress : undefined),
  },
  jobs: {
    open: (server, id) => server.watchJob(id),
    says: ({ status, progress }) => ended(status) ?? (status && whole(progress)),
  },
  broadcast: {
    open: (server) => server.watchAll(),
    says: ({ video_id: id, type, status, percent }, mine) => (id !== mine ? undefined
      : type === 'status' ? { complete: 'completed', failed: 'failed' }[status] : percent),
    // Of jobs that are over it says nothing to who comes late.
    isSilentOfEnds: true,
  },
  'Socket.IO': {
    open: async (server, id) => {
      const gateway = new Gateway(server);
      await waitFor(() => gateway.socket.connected, 'a connection');
      await gateway.subscribe(id);
      return { drop: () => gateway.leave(), get messages() { return gateway.events; } };
    },
    says: ([event, { progress, status }]) => (event === 'processing:progress' && status === 'processing' ? progress
      : ended(event.replace('processing:', ''))),
  },
  'file processing, bare': {
    open: async (server, id) => {
      const watcher = await server.watch('/file-processing');
      watcher.send({ event: 'subscribe:file', data: { fileId: id } });
      await watcher.until(({ event }) => event === 'subscribed');
      return watcher;
    },
    says: ({ event, data }) => doors['Socket.IO'].says([event, data]),
  },
  events: {
    open: (server, id) => Listener.open(`${server.origin}/api/jobs/${id}/events`),
    says: ({ state, progress }) => ended(state) ?? (state === 'processing' ? whole(progress ?? 0) : undefined),
  },
};

async function open(t, server, id, name) {
  const door = doors[name];
  const client = await door.open(server, id);
  t.after(() => client.drop());
  const said = () => client.messages.map((message) => door.says(message, id)).filter((word) => word !== undefined);
  const says = (what) => waitFor(() => said().at(-1) === what, `${what} of ${id} at ${name}, which said ${said().join()}`);
  return { name, client, said, says, drop: () => client.drop() };
}

async function openAll(t, server, id) {
  const clients = await Promise.all(Object.keys(doors).map((name) => open(t, server, id, name)));
  await server.redis.isHeard(id);
  return clients;
}
const all = (clients, what) => Promise.all(clients.map((client) => client.says(what)));

// Who comes now is told the present, and nothing older.
async function lateComersAreTold(t, server, id, what) {
  const isEnd = ended(what) !== undefined;
  for (const name of Object.keys(doors).filter((each) => !isEnd || !doors[each].isSilentOfEnds)) {
    const late = await open(t, server, id, name);
    await late.says(what);
    assert.deepEqual(late.said(), [what], name);
    late.drop();
  }
}

const statusOf = async (server, id) => (await server.get(`/api/status/${id}`)).json;
const kept = async (redis, id) => JSON.parse((await redis.cli('get', `job_status:${id}`)) || 'null');

// A worker with `from api.websocket import ProgressReporter`, which says what it is told to.
function worker(t, redis, reporter) {
  const python = start(t, {
    script: `
import asyncio, json, sys
from api.websocket import ProgressReporter
async def main():
    reporter = ProgressReporter()
    await reporter.initialize()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *args = json.loads(line)
        print('answer', json.dumps(await getattr(reporter, name)(*args)))
    await reporter.close()
asyncio.run(main())`,
    paths: [shim(t, reporter)],
    env: { REDIS_URL: redis.url },
  });
  let asked = 0;
  return {
    async say(...words) {
      python.stdin.write(`${JSON.stringify(words)}\n`);
      const at = asked++;
      const line = await waitFor(() => {
        assert.equal(python.exitCode, null, python.screen);
        return python.lines(/^answer /)[at];
      }, words.join(' '));
      return JSON.parse(line.slice('answer '.length));
    },
    async end() {
      python.stdin.end();
      assert.equal(await within(python.ended, 'the end of the worker'), 0, python.screen);
    },
  };
}

for (const reporter of REPORTERS) {
  describe(`api.websocket is ${reporter}`, () => {
    test('every door follows a job from step to step to its end', async (t) => {
      const { redis, server } = await pair(t);
      const clients = await openAll(t, server, 'job_12345');
      const { say, end } = worker(t, redis, reporter);
      for (const percent of [25, 50, 75]) {
        await say('report', 'job_12345', 'rendering', percent / 100, `Rendering ${percent}`, { frame: percent });
        await all(clients, percent);
        assert.equal((await statusOf(server, 'job_12345')).progress, percent);
      }
      await lateComersAreTold(t, server, 'job_12345', 75);
      const result = { video_url: 'https://cdn.example.com/videos/job_12345.mp4', duration: 66.67 };
      await say('report_complete', 'job_12345', result, 'Video rendering completed');
      await all(clients, 'completed');
      for (const { name, said } of clients) assert.deepEqual(said(), [25, 50, 75, 'completed'], name);

      const heard = clients.find(({ name }) => name === 'jobs').client.messages.filter(({ status }) => status);
      assert.deepEqual(heard.map(({ timestamp, ...rest }) => rest), [
        ...[25, 50, 75].map((percent) => ({
          job_id: 'job_12345', status: 'processing', stage: 'rendering', progress: percent / 100,
          message: `Rendering ${percent}`, metadata: { frame: percent },
        })),
        { job_id: 'job_12345', status: 'completed', stage: 'complete', progress: 1, message: 'Video rendering completed', result },
      ]);
      await lateComersAreTold(t, server, 'job_12345', 'completed');
      assert.equal((await statusOf(server, 'job_12345')).status, 'completed');
      for (const found of [await say('get_status', 'job_12345'), await kept(redis, 'job_12345')]) {
        assert.deepEqual([found.status, found.stage, found.progress, found.result], ['completed', 'complete', 1, result]);
      }
      await end();
    });

    test('a failure is one at every door, with the stage and progress it failed at', async (t) => {
      const { redis, server } = await pair(t);
      const clients = await openAll(t, server, 'job_1');
      const { say, end } = worker(t, redis, reporter);
      await say('report', 'job_1', 'rendering', 0.5, 'Halfway through rendering');
      await all(clients, 50);
      await say('report_error', 'job_1', 'Out of memory', 'rendering');
      await all(clients, 'failed');
      const { timestamp, ...last } = clients.find(({ name }) => name === 'jobs').client.messages.at(-1);
      assert.deepEqual(last, {
        job_id: 'job_1', status: 'failed', stage: 'rendering', progress: 0.5,
        message: 'Error: Out of memory', error: 'Out of memory',
      });
      const status = await statusOf(server, 'job_1');
      assert.deepEqual([status.status, status.progress, status.error], ['failed', 50, 'Out of memory']);
      await lateComersAreTold(t, server, 'job_1', 'failed');
      await end();
    });

    test("the document's process_video, as it stands", async (t) => {
      const { redis, server } = await pair(t);
      const clients = await openAll(t, server, 'job_12345');
      await run(t, {
        script: `${snippet('process_video.py')}
import asyncio
asyncio.run(process_video('job_12345'))`,
        paths: [shim(t, reporter)],
        env: { REDIS_URL: redis.url },
      });
      await all(clients, 'completed');
      for (const { name, said } of clients) {
        const steps = said().slice(0, -1);
        assert.ok(steps.length > 0, `${name} saw it move`);
        assert.deepEqual(steps, [...steps].sort((a, b) => a - b), name);
      }
      const heard = clients.find(({ name }) => name === 'jobs').client.messages.filter(({ status }) => status);
      assert.equal(heard[0].message, 'Starting video render...');
      assert.deepEqual(heard.at(-2).metadata, { current_frame: 1999 });
      assert.deepEqual(heard.at(-1).result,
        { video_url: 'https://cdn.example.com/videos/job_12345.mp4', duration: 66.67, frames: 2000 });
      await lateComersAreTold(t, server, 'job_12345', 'completed');
    });

    test("the document's Celery task, as it stands", async (t) => {
      const { redis, server } = await pair(t);
      const { send, stop } = startCelery(t, {
        broker: redis.url, tasks: documentTask(), paths: [shim(t, reporter)], env: { REDIS_URL: redis.url } });
      const ids = ['one', 'two', 'three'];
      const clients = await Promise.all(ids.map((id) => open(t, server, id, 'jobs')));
      const gateways = await Promise.all(ids.map((id) => open(t, server, id, 'Socket.IO')));
      await Promise.all(ids.map(send));
      await all([...clients, ...gateways], 'completed');
      for (const { client, said } of clients) {
        assert.deepEqual(said(), [50, 'completed']);
        assert.deepEqual(client.messages.at(-1).result, { video: '/v.mp4' });
      }
      await stop();
    });

    test("the document's FastAPI background task, as it stands", async (t) => {
      const { redis, server } = await pair(t);
      const api = await startFastApi(t, { port: await freePort(), paths: [shim(t, reporter)], env: { REDIS_URL: redis.url } });
      const created = await waitFor(
        () => server.request(`${api.origin}/jobs/create`, { method: 'POST' }).catch(() => null), 'FastAPI');
      assert.equal(created.json.status, 'queued');
      const viewer = await server.watch(created.json.websocket_url);
      const end = await viewer.until(({ status }) => status === 'completed');
      assert.deepEqual(end.result, { result: 'success' });
      assert.equal((await statusOf(server, created.json.job_id)).status, 'completed');
      await viewer.leave();
      await api.stop();
    });

    test('who comes when all is over finds the end, though no server was there', async (t) => {
      const redis = await Redis.during(t);
      const { say, end } = worker(t, redis, reporter);
      await say('report', 'before', 'rendering', 0.5, 'Halfway');
      await say('report_complete', 'before', { n: 1 });
      await say('report', 'going', 'rendering', 0.25, 'A quarter');
      await say('get_status', 'going');
      const server = await serve(t, redis);
      assert.equal((await statusOf(server, 'before')).status, 'completed');
      await lateComersAreTold(t, server, 'before', 'completed');

      const clients = await openAll(t, server, 'going');
      await all(clients.filter(({ name }) => name !== 'broadcast'), 25);
      await say('report', 'going', 'rendering', 0.5, 'Half');
      await all(clients, 50);
      await say('report_error', 'going', 'boom', 'rendering');
      await all(clients, 'failed');
      await end();
    });

    test('two servers on one Redis tell the same', async (t) => {
      const redis = await Redis.during(t);
      const dataDir = temporaryFolder();
      t.after(() => rmSync(dataDir, { recursive: true, force: true }));
      const servers = [await serve(t, redis, { dataDir }), await serve(t, redis, { dataDir })];
      const clients = (await Promise.all(servers.map((server) => openAll(t, server, 'shared')))).flat();
      await redis.isHeard('shared', 2);
      const { say, end } = worker(t, redis, reporter);
      for (const percent of [10, 20, 30]) {
        await say('report', 'shared', 'rendering', percent / 100, `${percent}`);
        await all(clients, percent);
      }
      await say('report_complete', 'shared', {});
      await all(clients, 'completed');
      for (const { name, said } of clients) assert.deepEqual(said(), [10, 20, 30, 'completed'], name);
      for (const server of servers) await lateComersAreTold(t, server, 'shared', 'completed');
      await end();
    });
  });
}

describe('progress:{video_id}', () => {
  // The broadcast document's publisher.
  const publish = (t, redis, id, ...steps) => run(t, {
    script: `
import json, os, time
import redis as library
redis = library.Redis.from_url(os.environ['REDIS_URL'])
video_id = ${JSON.stringify(id)}
for percent, downloaded_bytes, total_bytes in json.loads(${JSON.stringify(JSON.stringify(steps))}):
    redis.publish(f"progress:{video_id}", json.dumps({
        "percent": percent, "downloaded_bytes": downloaded_bytes, "total_bytes": total_bytes}))
redis.close()`,
    env: { REDIS_URL: redis.url },
  });

  test('every door shows the percent, the broadcast the bytes', async (t) => {
    const { redis, server } = await pair(t);
    const clients = await openAll(t, server, 'test123');
    const steps = [[10, 1000, 10_000], [42, 4200, 10_000], [99, 9900, 10_000]];
    for (const step of steps) {
      await publish(t, redis, 'test123', step);
      await all(clients, step[0]);
    }
    for (const { name, said } of clients) assert.deepEqual(said(), [10, 42, 99], name);
    const broadcast = clients.find(({ name }) => name === 'broadcast').client.messages;
    assert.deepEqual(broadcast.filter(({ video_id: id }) => id === 'test123'), steps.map(
      ([percent, downloaded_bytes, total_bytes]) => ({ type: 'progress', video_id: 'test123', percent, downloaded_bytes, total_bytes })));
    await lateComersAreTold(t, server, 'test123', 99);
    assert.equal((await statusOf(server, 'test123')).progress, 99);
  });

  test('many at once, of which the last is what stays', async (t) => {
    const { redis, server } = await pair(t);
    const everything = await server.watchAll();
    const one = await open(t, server, 'clip', 'jobs');
    await redis.isHeard('clip');
    await redis.isAllHeard();
    await publish(t, redis, 'clip', ...[...Array(99).keys()].map((i) => [i + 1, (i + 1) * 100, null]));
    await one.says(99);
    await everything.until(({ percent }) => percent === 99);
    const told = everything.messages.map(({ percent }) => percent);
    assert.deepEqual(told, [...told].sort((a, b) => a - b));
    everything.drop();
  });

  test('a job may be reported on both channels', async (t) => {
    const { redis, server } = await pair(t);
    const clients = await openAll(t, server, 'both');
    const { say, end } = worker(t, redis, 'plain');
    await say('report', 'both', 'downloading', 0.1, 'Downloading');
    await all(clients, 10);
    await publish(t, redis, 'both', [40, 400, 1000]);
    await all(clients, 40);
    await say('report_complete', 'both', { done: true });
    await all(clients, 'completed');
    await publish(t, redis, 'both', [50, 500, 1000]); // too late
    await lateComersAreTold(t, server, 'both', 'completed');
    await end();
  });
});

describe('other reporters', () => {
  test('reelay run and reelay report', async (t) => {
    const { redis, server } = await pair(t);
    const ran = await openAll(t, server, 'ran');
    const child = spawn(binary, ['run', '--engine', redis.url, '--job', 'ran', '--stage', 'rendering', '--',
      'sh', '-c', 'echo PROGRESS 0.5 half; read go'], { env: environment(), stdio: ['pipe', 'ignore', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    await all(ran, 50);
    child.stdin.end('go\n');
    await all(ran, 'completed');
    await lateComersAreTold(t, server, 'ran', 'completed');

    const told = await openAll(t, server, 'told');
    const report = (...args) => assert.equal(
      spawnSync(binary, ['report', 'told', ...args], { env: environment({ REELAY_ENGINE: redis.url }), stdio: 'inherit' }).status, 0);
    report('--progress', '0.3', '--stage', 'rendering');
    await all(told, 30);
    report('--error', 'Out of memory');
    await all(told, 'failed');
    assert.equal((await statusOf(server, 'told')).error, 'Out of memory');
  });

  test('a program with libreelay', async (t) => {
    const { redis, server } = await pair(t);
    const folder = temporaryFolder();
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const library = path.join(path.dirname(binary), 'src/lib');
    const program = path.join(folder, 'report');
    // Who links a library with sanitizers needs them too.
    const isSanitized = readFileSync(path.join(library, 'libreelay.so')).includes('__asan_init');
    const { status, stderr } = spawnSync('cc', ['-D_GNU_SOURCE', '-I', path.join(root, 'include'), '-o', program,
      path.join(root, 'examples/report.c'), `-L${library}`, `-Wl,-rpath,${library}`, '-lreelay',
      ...(isSanitized ? ['-fsanitize=address,undefined'] : [])]);
    assert.equal(status, 0, String(stderr));
    const clients = await openAll(t, server, 'render-7');
    const child = spawn(program, ['render-7'], { env: environment({ REDIS_URL: redis.url }), stdio: 'inherit' });
    t.after(() => child.kill('SIGKILL'));
    await all(clients, 'completed');
    for (const { name, said } of clients) assert.ok(said().length >= 5, `${name}: ${said().join()}`);
    await lateComersAreTold(t, server, 'render-7', 'completed');
  });

  test('what is no report changes nothing', async (t) => {
    const { redis, server } = await pair(t);
    const clients = await openAll(t, server, 'sane');
    const send = (text) => redis.cli('publish', 'job_progress:sane', text);
    await send('{"status":"processing","stage":"s","progress":0.1,"message":"one"}');
    await all(clients, 10);
    for (const text of ['', '{', '[]', '"ping"', '{"progress":"much"}', '{"status":"unheard of"}']) {
      await send(text);
    }
    await redis.cli('publish', 'progress:sane', 'NaN');
    await redis.cli('publish', 'job_progress:../sane', '{"progress":0.5}');
    await send('{"status":"processing","stage":"s","progress":0.2,"message":"two"}');
    await all(clients, 20);
    for (const { name, said } of clients) assert.deepEqual(said(), [10, 20], name);
  });

  test('an end is told however long its words are', async (t) => {
    const { redis, server } = await pair(t);
    const failed = await openAll(t, server, 'traceback');
    const completed = await openAll(t, server, 'frames');
    const { say, end } = worker(t, redis, 'plain');
    await say('report_error', 'traceback', `Traceback (most recent call last): ${'é'.repeat(10_000)}`, 'rendering');
    await all(failed, 'failed');
    const { error } = failed.find(({ name }) => name === 'jobs').client.messages.at(-1);
    assert.match(error, /^Traceback .*é$/);
    assert.ok(Buffer.byteLength(error) > 4000 && Buffer.byteLength(error) <= 4096, `${error.length}`);
    await say('report_complete', 'frames', { frames: 'x'.repeat(100_000) });
    await all(completed, 'completed');
    await end();
  });

  test('a worker and its viewers outlive a Redis that was away', async (t) => {
    const { redis, server } = await pair(t);
    const clients = await openAll(t, server, 'patient');
    const { say, end } = worker(t, redis, 'reelay');
    await say('report', 'patient', 'rendering', 0.25, 'before');
    await all(clients, 25);
    await redis.stop();
    await say('report', 'patient', 'rendering', 0.5, 'meanwhile');
    await say('report_complete', 'patient', { n: 1 });
    await redis.start(); // with nothing in it
    await all(clients, 'completed');
    await lateComersAreTold(t, server, 'patient', 'completed');
    await end();
  });
});
