// reelay run --engine, reelay report --engine: through Redis, without a server in between.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { freePort } from '../support/ports.mjs';
import { Redis } from '../support/redis-server.mjs';
import { binary, environment, reelay, Server, temporaryFolder } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function folderOf(t) {
  const folder = temporaryFolder();
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => path.join(folder, name);
}

function start(t, args, env = {}) {
  const child = spawn(binary, ['run', ...args], { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const run = { child, out: '', err: '' };
  t.after(() => child.kill('SIGKILL'));
  child.stdout.setEncoding('utf8').on('data', (data) => (run.out += data));
  child.stderr.setEncoding('utf8').on('data', (data) => (run.err += data));
  run.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  return run;
}

async function finish(t, args, env) {
  const run = start(t, args, env);
  run.status = await within(run.ended, `the end of ${args.join(' ')}`);
  assert.doesNotMatch(run.err, /Sanitizer|runtime error:/);
  return run;
}

const status = async (redis, id) => JSON.parse((await redis.cli('get', `job_status:${id}`)) || 'null');
const timeless = ({ timestamp, ...rest }) => (assert.match(timestamp, ISO), rest);
const once = (run, pattern) => assert.equal(run.err.match(pattern)?.length, 1, run.err);

test("the channel and the key have the document's messages", async (t) => {
  const redis = await Redis.during(t);
  const heard = await redis.subscribe('job_progress:*');
  const file = folderOf(t);
  const run = start(t, ['--engine', redis.url, '--job', 'job_12345', '--stage', 'rendering', '--result', '{"frames":2}',
    '--', 'sh', '-c', `echo PROGRESS 0.75 Rendering; while [ ! -e ${file('go')} ]; do sleep 0.05; done`]);
  await waitFor(() => heard.at(-1)?.message.progress === 0.75, 'the progress');
  assert.deepEqual(await status(redis, 'job_12345'), heard.at(-1).message, 'who comes late sees the present');
  writeFileSync(file('go'), '');
  assert.equal(await within(run.ended, 'the end'), 0, run.err);
  assert.equal(run.err, '');

  await waitFor(() => heard.at(-1).message.status === 'completed', 'the end');
  assert.ok(heard.every(({ channel }) => channel === 'job_progress:job_12345'));
  assert.deepEqual(heard.map(({ message }) => timeless(message)), [
    { job_id: 'job_12345', status: 'processing', stage: 'rendering', progress: 0, message: 'sh has started' },
    { job_id: 'job_12345', status: 'processing', stage: 'rendering', progress: 0.75, message: 'Rendering' },
    { job_id: 'job_12345', status: 'completed', stage: 'complete', progress: 1, message: 'Job completed', result: { frames: 2 } },
  ]);
  assert.deepEqual(await status(redis, 'job_12345'), heard.at(-1).message);
  const ttl = Number(await redis.cli('ttl', 'job_status:job_12345'));
  assert.ok(ttl > 3500 && ttl <= 3600, String(ttl));
});

test('a failure is told with the stage and the progress it failed at', async (t) => {
  const redis = await Redis.during(t);
  const run = await finish(t, ['--engine', redis.url, '--job', 'a', '--stage', 'rendering', '--', 'sh', '-c',
    'echo PROGRESS 0.5; echo Out of memory >&2; exit 3']);
  assert.equal(run.status, 3);
  assert.deepEqual(timeless(await status(redis, 'a')), {
    job_id: 'a', status: 'failed', stage: 'rendering', progress: 0.5,
    message: 'Error: sh exited with status 3: Out of memory', error: 'sh exited with status 3: Out of memory',
  });
  assert.equal((await finish(t, ['--engine', redis.url, '--job', 'b', '--', 'no-such-command'])).status, 127);
  assert.equal((await status(redis, 'b')).error, 'no-such-command: No such file or directory');
});

test('what was printed last counts, also when it is read behind the end', async (t) => {
  const redis = await Redis.during(t);
  const run = await finish(t, ['--engine', redis.url, '--job', 'a', '--', 'sh', '-c',
    '(while [ -d /proc/$$ ]; do sleep 0.01; done; echo PROGRESS 30% half) & exit 3']);
  assert.equal(run.status, 3, run.err);
  const { progress, error } = await status(redis, 'a');
  assert.deepEqual([progress, error], [0.3, 'sh exited with status 3']);
});

test('bytes, speed and the time left are told where they are known', async (t) => {
  const redis = await Redis.during(t);
  const file = folderOf(t);
  writeFileSync(file('yt-dlp'), `#!/bin/sh
echo '[youtube] BaW_jenozKc: Downloading webpage'
echo '[info] BaW_jenozKc: Downloading 1 format(s): 22'
echo '[download] Destination: video.mp4'
printf '\\r[download]  42.0%% of   10.00MiB at    1.00MiB/s ETA 00:06\\n'
while [ ! -e ${file('go')} ]; do sleep 0.05; done
`);
  chmodSync(file('yt-dlp'), 0o755);
  const run = start(t, ['--engine', redis.url, '--job', 'a', '--', file('yt-dlp')]);
  const said = await waitFor(async () => {
    const now = await status(redis, 'a');
    return now?.progress === 0.42 && now;
  }, 'progress');
  assert.equal(said.total_bytes, 10 * 1024 * 1024);
  assert.ok(Math.abs(said.downloaded_bytes / said.total_bytes - 0.42) < 0.01, JSON.stringify(said));
  assert.deepEqual(said.metadata, { eta_seconds: 6, speed: 1024 * 1024, speed_unit: 'bytes/s' });
  writeFileSync(file('go'), '');
  assert.equal(await within(run.ended, 'the end'), 0);
  assert.equal((await status(redis, 'a')).metadata, undefined);
});

test('without --job it has an id of its own, and says which', async (t) => {
  const redis = await Redis.during(t);
  const run = await finish(t, ['--engine', redis.url, '--', 'sh', '-c', 'echo $REELAY_JOB']);
  const [, id] = /^reelay run: job (\S+)\n$/.exec(run.err) ?? assert.fail(run.err);
  assert.equal(run.out, `${id}\n`);
  assert.equal((await status(redis, id)).status, 'completed');
});

test('REELAY_ENGINE names it, REDIS_URL where no server is named', async (t) => {
  const redis = await Redis.during(t);
  const server = await Server.during(t);
  const run = (id, env, args = []) => finish(t, [...args, '--job', id, '--', 'true'], env);
  await run('engine', { REELAY_ENGINE: redis.url });
  await run('url', { REDIS_URL: redis.url });
  await run('both', { REELAY_SERVER: server.origin, REDIS_URL: redis.url });
  await run('named', { REDIS_URL: redis.url }, ['--server', server.origin]);
  await run('local', { REELAY_ENGINE: 'local', REELAY_SERVER: server.origin });
  for (const id of ['engine', 'url']) assert.equal((await status(redis, id))?.status, 'completed', id);
  for (const id of ['both', 'named', 'local']) {
    assert.equal((await server.job(id))?.state, 'completed', id);
    assert.equal(await status(redis, id), null, id);
  }
});

test('what is no Redis is wrong usage, its password is not shown, and nothing is run', async (t) => {
  const trace = folderOf(t)('trace');
  for (const [args, env, says] of [
    [['--engine', 'http://127.0.0.1'], {}, /--engine: /],
    [['--engine', 'redis://:hush@127.0.0.1:nowhere'], {}, /--engine: /],
    [[], { REDIS_URL: 'redis://:hush@' }, /REDIS_URL: /],
  ]) {
    const run = await finish(t, [...args, '--', 'touch', trace], env);
    assert.equal(run.status, 2);
    assert.match(run.err, says);
    assert.doesNotMatch(run.err, /hush/);
  }
  assert.ok(!existsSync(trace));
});

test('a Redis that is away is named once and does not hold the command up', async (t) => {
  const engine = `redis://127.0.0.1:${await freePort()}`;
  const run = await finish(t, ['--engine', engine, '--job', 'a', '--report-timeout', '1s', '--',
    'sh', '-c', 'for i in 1 2 3 4 5 6; do echo PROGRESS 0.$i; sleep 0.1; done; exit 5']);
  assert.equal(run.status, 5);
  once(run, /cannot reach redis:\/\/127\.0\.0\.1:\d+\/0: .*connection refused; .*tried again/g);
  once(run, /how the command ended could not be reported: cannot reach redis/g);
  assert.equal(run.err.trim().split('\n').length, 2, run.err);
});

test('a Redis that refuses is named once, and the command goes on', async (t) => {
  const redis = await Redis.during(t);
  await redis.cli('config', 'set', 'requirepass', 'right');
  const began = Date.now();
  const run = await finish(t, ['--engine', `redis://:wrong@127.0.0.1:${redis.port}`, '--job', 'a', '--report-timeout', '1h',
    '--', 'sh', '-c', 'for i in 1 2 3; do echo PROGRESS 0.$i; sleep 0.3; done; exit 6']);
  assert.equal(run.status, 6);
  assert.ok(Date.now() - began < 30_000, 'nobody waits for an hour');
  assert.equal(run.err.trim().split('\n').length, 1, run.err);
  assert.match(run.err, /^reelay run: .*WRONGPASS.*without being reported/);
  assert.doesNotMatch(run.err, /:wrong|right/);
});

test('who may not publish is told so', async (t) => {
  const redis = await Redis.during(t);
  await redis.cli('acl', 'setuser', 'mute', 'on', '>pass', '~*', '+@all', 'resetchannels');
  const run = await finish(t, ['--engine', `redis://mute:pass@127.0.0.1:${redis.port}`, '--job', 'a', '--', 'sh', '-c', 'exit 2']);
  assert.equal(run.status, 2);
  assert.match(run.err, /^reelay run: redis:\/\/mute@.*publish to the channel.*without being reported\n$/);
  assert.doesNotMatch(run.err, /script:/);
});

test('what a full Redis cannot keep is not published, and told once it has room', async (t) => {
  const redis = await Redis.during(t);
  const heard = await redis.subscribe('*');
  await redis.cli('config', 'set', 'maxmemory', '1');
  const run = start(t, ['--engine', redis.url, '--job', 'a', '--report-timeout', '1m', '--', 'echo', 'done']);
  await waitFor(() => run.err.includes('tried again'), 'the complaint');
  assert.match(run.err, /OOM/);
  await redis.cli('publish', 'mark', '{}');
  await waitFor(() => heard.length > 0, 'the mark');
  assert.equal(heard[0].channel, 'mark');
  await redis.cli('config', 'set', 'maxmemory', '0');
  assert.equal(await within(run.ended, 'the end'), 0);
  assert.equal((await status(redis, 'a')).status, 'completed');
});

test('a Redis that comes back hears how far it is, and the end', async (t) => {
  const redis = await Redis.during(t);
  const file = folderOf(t);
  const wait = (name) => `while [ ! -e ${file(name)} ]; do sleep 0.05; done`;
  const run = start(t, ['--engine', redis.url, '--job', 'a', '--report-timeout', '1m', '--', 'sh', '-c',
    `echo PROGRESS 0.2; ${wait('one')}; echo PROGRESS 0.6; ${wait('two')}; echo done`]);
  const reaches = (progress) => waitFor(async () => (await status(redis, 'a'))?.progress === progress, `${progress}`);
  await reaches(0.2);
  await redis.stop();
  writeFileSync(file('one'), '');
  await waitFor(() => run.err.includes('tried again'), 'the complaint');
  await redis.start(); // with nothing in it
  await reaches(0.6);
  await redis.stop();
  writeFileSync(file('two'), '');
  await waitFor(() => run.out.includes('done'), 'the command to end');
  await redis.start();
  assert.equal(await within(run.ended, 'the end'), 0);
  assert.equal((await status(redis, 'a')).status, 'completed');
  once(run, /tried again/g);
});

test('a Redis that hangs costs the command no time, and hears the end when it goes on', async (t) => {
  const redis = await Redis.during(t);
  const done = folderOf(t)('done');
  const heard = await redis.subscribe('job_progress:a');
  const run = start(t, ['--engine', redis.url, '--job', 'a', '--report-timeout', '1m', '--', 'sh', '-c',
    `while [ ! -e ${done}.go ]; do sleep 0.02; done
     i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "PROGRESS 0.5 step $i"; done; touch ${done}`]);
  await waitFor(() => heard.length > 0, 'the first report');
  redis.process.kill('SIGSTOP');
  writeFileSync(`${done}.go`, '');
  await waitFor(() => existsSync(done), 'the command', { timeout: 30_000 });
  redis.process.kill('SIGCONT');
  assert.equal(await within(run.ended, 'the end'), 0, run.err);
  assert.equal((await status(redis, 'a')).status, 'completed');
  await waitFor(() => heard.at(-1).message.status === 'completed', 'the end to be heard');
});

test('reports are few however much is said', async (t) => {
  const redis = await Redis.during(t);
  const heard = await redis.subscribe('job_progress:a');
  const began = Date.now();
  await finish(t, ['--engine', redis.url, '--job', 'a', '--',
    'sh', '-c', 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo PROGRESS 0.5 $i; done; sleep 1; echo PROGRESS 0.6']);
  const seconds = (Date.now() - began) / 1000;
  await waitFor(() => heard.at(-1)?.message.status === 'completed', 'the end');
  assert.ok(heard.length >= 3 && heard.length <= 4 * seconds + 3, `${heard.length} in ${seconds} s`);
});

test('the command gets none of our connections', async (t) => {
  const redis = await Redis.during(t);
  const file = folderOf(t);
  const heard = await redis.subscribe('*');
  const run = start(t, ['--engine', redis.url, '--job', 'a', '--', 'sh', '-c',
    `while [ ! -e ${file('go')} ]; do sleep 0.05; done; ls -l /proc/self/fd`]);
  await waitFor(() => heard.length > 0, 'the first report');
  writeFileSync(file('go'), '');
  assert.equal(await within(run.ended, 'the end'), 0);
  assert.doesNotMatch(run.out, /socket:|anon_inode/);
});

test('a signal behind the end cuts the last report short', async (t) => {
  const run = start(t, ['--engine', `redis://127.0.0.1:${await freePort()}`, '--job', 'a', '--report-timeout', '1h', '--',
    'sh', '-c', 'echo $$; exit 6']);
  const pid = Number(await waitFor(() => /^(\d+)\n/.exec(run.out)?.[1], 'its pid'));
  await waitFor(() => !existsSync(`/proc/${pid}`), 'the command to end');
  run.child.kill('SIGTERM');
  assert.equal(await within(run.ended, 'the end'), 6);
});

test('reelay report tells Redis what follows from what it knows', async (t) => {
  const redis = await Redis.during(t);
  const heard = await redis.subscribe('job_progress:*');
  const report = async (...args) => {
    const said = await reelay(['report', ...args], { env: { REELAY_ENGINE: redis.url } });
    return said.status === 0 ? said.stdout : `${said.status}: ${said.stderr}`;
  };
  assert.equal(await report('a', '--stage', 'rendering', '--progress', '0.25', '--message', 'Frame 500', '--metadata', '{"f":1}'), '');
  assert.equal(await report('a', '--progress', '0.5'), '');
  assert.equal(await report('a', '--error', 'Out of memory'), '');
  assert.match(await report('a', '--progress', '0.6'), /^1: reelay report: the job has ended\n$/);
  const line = await report('b', '--complete', '--result', '{"video_url":"https://..."}', '--json');
  await waitFor(() => heard.length === 4, 'four messages');
  assert.deepEqual(JSON.parse(line), heard[3].message);
  assert.deepEqual(await status(redis, 'a'), heard[2].message);
  assert.deepEqual(heard.map(({ message }) => timeless(message)), [
    { job_id: 'a', status: 'processing', stage: 'rendering', progress: 0.25, message: 'Frame 500', metadata: { f: 1 } },
    { job_id: 'a', status: 'processing', stage: 'rendering', progress: 0.5, message: 'Frame 500' },
    { job_id: 'a', status: 'failed', stage: 'rendering', progress: 0.5, message: 'Error: Out of memory', error: 'Out of memory' },
    { job_id: 'b', status: 'completed', stage: 'complete', progress: 1, message: 'Job completed', result: { video_url: 'https://...' } },
  ]);

  await redis.cli('set', 'job_status:c', 'anything');
  assert.equal(await report('c', '--progress', '0.5'), '');
  assert.match(await report('c', '--message', 'x'.repeat(4097)), /^1: .*4096/);
  assert.match(await report('c', '--progress', '0.5', '--engine', 'redis://x:y:z'), /^2: reelay report: --engine: /);
  await redis.stop();
  assert.match(await report('c', '--progress', '0.5'), /^3: reelay report: cannot reach redis:/);
});

test('a long error makes no message longer than a server takes', async (t) => {
  const redis = await Redis.during(t);
  const said = await reelay(['report', 'a', '--error', 'é'.repeat(2048)], { env: { REELAY_ENGINE: redis.url } });
  assert.equal(said.status, 0, said.stderr);
  const { message, error } = await status(redis, 'a');
  assert.equal(error, 'é'.repeat(2048));
  assert.equal(message, `Error: ${'é'.repeat(2044)}`);
});
