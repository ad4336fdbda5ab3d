// reelay run: any command, unchanged for who started it, and live for who watches.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { clip } from '../support/clips.mjs';
import { Listener } from '../support/listener.mjs';
import { binary, environment, isAlive, Server, signalAll, temporaryFolder } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const REPORT = /Sanitizer|runtime error:/;
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

describe('reelay run', () => {
  let server;
  let folder;
  let env;
  let count = 0;
  const name = () => `run-${++count}`;
  const file = (base) => path.join(folder, base);

  before(async () => {
    server = await Server.start();
    folder = temporaryFolder();
    env = { REELAY_SERVER: server.origin };
  });
  after(async () => {
    await server.end();
    rmSync(folder, { recursive: true, force: true });
  });

  // { child, out (Buffer), err, ended: { code, signal } }
  function start(t, args, { env: more = {}, stdin = 'ignore' } = {}) {
    const child = spawn(binary, ['run', ...args], {
      env: environment({ ...env, ...more }), stdio: [stdin, 'pipe', 'pipe'] });
    const run = { child, pieces: [], err: '' };
    t.after(() => child.kill('SIGKILL'));
    child.stdout.on('data', (data) => run.pieces.push(data));
    child.stderr.on('data', (data) => (run.err += data));
    Object.defineProperty(run, 'out', { get: () => Buffer.concat(run.pieces) });
    run.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    return run;
  }

  async function finish(t, args, options) {
    const run = start(t, args, options);
    const end = await within(run.ended, `the end of ${args.join(' ')}\n${run.err}`);
    assert.doesNotMatch(run.err, REPORT);
    assert.equal(end.signal, null);
    return Object.assign(run, { status: end.code });
  }

  // Every state of the job, from the first to the last; `during` looks on.
  async function watched(t, args, options, during = async () => {}) {
    const id = name();
    const listener = await Listener.open(`${server.origin}/api/jobs/${id}/events`);
    t.after(() => listener.drop());
    const run = start(t, ['--job', id, ...args], options);
    await during(listener);
    assert.equal(await listener.over(), 'end');
    const seen = listener.messages;
    const { code } = await within(run.ended, 'the end of the command');
    assert.doesNotMatch(run.err, REPORT);
    const fractions = seen.map((job) => job.progress ?? 0);
    for (let at = 1; at < fractions.length; at++) assert.ok(fractions[at] >= fractions[at - 1], fractions.join());
    return { ...run, out: run.out, status: code, seen, job: seen.at(-1), between: fractions.filter((f) => f > 0 && f < 1) };
  }

  test('lines that begin with PROGRESS become reports', async (t) => {
    const go = file('go');
    const script = `echo 'PROGRESS 0.25 first quarter'; while [ ! -e ${go} ]; do sleep 0.05; done; echo end >&2`;
    const id = name();
    const run = start(t, ['--job', id, '--stage', 'rendering', '--result', '{"frames":2}', '--', 'sh', '-c', script]);
    const job = await waitFor(async () => {
      const now = await server.job(id);
      return now?.progress === 0.25 && now;
    }, 'a quarter');
    assert.equal(job.state, 'processing');
    assert.equal(job.stage, 'rendering');
    assert.equal(job.message, 'first quarter');
    writeFileSync(go, '');
    assert.deepEqual(await within(run.ended, 'the end'), { code: 0, signal: null });
    assert.equal(run.out.toString(), 'PROGRESS 0.25 first quarter\n');
    assert.equal(run.err, 'end\n');
    const last = await server.job(id);
    assert.equal(last.state, 'completed');
    assert.equal(last.progress, 1);
    assert.deepEqual(last.result, { frames: 2 });
  });

  test('without --job it makes one and says which', async (t) => {
    const run = await finish(t, ['--', 'sh', '-c', 'echo $REELAY_JOB']);
    const [, id] = /^reelay run: job (\S+)\n$/.exec(run.err) ?? assert.fail(run.err);
    assert.equal(run.out.toString(), `${id}\n`, 'the command knows its job');
    const job = await server.job(id);
    assert.equal(job.state, 'completed');
    assert.equal(job.title, 'sh');
    assert.deepEqual(job.result, { exit_status: 0 });
  });

  test('a run within a run has a job of its own', async (t) => {
    const id = name();
    const run = await finish(t, ['--job', id, '--', binary, 'run', '--', 'sh', '-c', 'exit 3']);
    assert.equal(run.status, 3);
    const [, inner] = /reelay run: job (\S+)\n/.exec(run.err);
    assert.notEqual(inner, id);
    assert.equal((await server.job(inner)).error, 'sh exited with status 3');
    assert.match((await server.job(id)).error, /^reelay exited with status 3/);
  });

  test('ffmpeg: its status lines', async (t) => {
    const input = await clip({ seconds: 3 });
    const { status, between, seen, job } = await watched(t, [
      '--', 'ffmpeg', '-y', '-re', '-i', input, '-c:v', 'libx264', '-preset', 'ultrafast', file('a.mp4')]);
    assert.equal(status, 0);
    assert.equal(job.state, 'completed');
    assert.ok(between.length >= 2, between.join());
    assert.ok(seen.some((one) => /^ffmpeg: 00:00:0\d of 00:00:03, [\d.]+x$/.test(one.message)), JSON.stringify(seen));
    assert.ok(existsSync(file('a.mp4')));
  });

  test('ffmpeg: -progress on standard output', async (t) => {
    const input = await clip({ seconds: 3 });
    const { status, between, out } = await watched(t, [
      '--', 'ffmpeg', '-nostats', '-progress', 'pipe:1', '-re', '-i', input, '-f', 'null', '-']);
    assert.equal(status, 0);
    assert.ok(between.length >= 2, between.join());
    assert.match(out.toString(), /progress=end\n$/);
  });

  test('ffmpeg fails: with its last words', async (t) => {
    const { status, job } = await watched(t, ['--', 'ffmpeg', '-i', '/no/such.mp4', file('b.mp4')]);
    assert.equal(status, 1);
    assert.equal(job.state, 'failed');
    assert.equal(job.error, 'ffmpeg exited with status 1: /no/such.mp4: No such file or directory');
  });

  // Serves 3 MB in twelve pieces.
  async function slowFile(t) {
    const piece = randomBytes(250_000);
    const origin = http.createServer((request, response) => {
      response.writeHead(200, { 'Content-Length': 12 * piece.length });
      let left = 12;
      const timer = setInterval(() => (left-- > 0 ? response.write(piece) : (clearInterval(timer), response.end())), 200);
    });
    await new Promise((resolve) => origin.listen(0, '127.0.0.1', resolve));
    t.after(() => (origin.closeAllConnections?.(), origin.close()));
    return { url: `http://127.0.0.1:${origin.address().port}/`, whole: Buffer.concat(Array(12).fill(piece)) };
  }

  for (const [mode, args] of [['table', []], ['bar', ['-#']]]) {
    test(`curl: its ${mode}, and what it downloads through us`, async (t) => {
      const { url, whole } = await slowFile(t);
      const { status, between, out, seen } = await watched(t, ['--', 'curl', ...args, url]);
      assert.equal(status, 0);
      assert.equal(sha(out), sha(whole));
      assert.ok(between.length >= 1, JSON.stringify(seen));
      assert.ok(seen.some((one) => /^curl: \d/.test(one.message)), JSON.stringify(seen));
    });
  }

  test('pv -n', async (t) => {
    const { status, between } = await watched(t, [
      '--', 'sh', '-c', 'head -c 400000 /dev/zero | pv -n -i 0.2 -s 400000 -L 250k >/dev/null']);
    assert.equal(status, 0);
    assert.ok(between.length >= 2, between.join());
  });

  test('yt-dlp', async (t) => {
    const fake = file('yt-dlp');
    const half = 'yt-dlp: 50.0% of 1.0 MiB (file 2 of 2), 1.0 MiB/s';
    writeFileSync(fake, `#!/bin/sh
echo '[youtube] BaW_jenozKc: Downloading webpage'
echo '[info] BaW_jenozKc: Downloading 1 format(s): 137+140'
echo '[download] Destination: video.f137.mp4'
for p in 0.0 42.0; do printf '\\r[download] %5s%% of   10.00MiB at    1.00MiB/s ETA 00:06' $p; done
printf '\\r[download] 100%% of   10.00MiB in 00:00:08 at 1.17MiB/s\\n'
echo '[download] Destination: video.f140.m4a'
printf '\\r[download]  50.0%% of    1.00MiB at    1.00MiB/s ETA 00:01\\n'
while [ ! -e ${fake}.go ]; do sleep 0.05; done
echo 'ERROR: unable to download video data: HTTP Error 403: Forbidden' >&2
exit 1
`);
    chmodSync(fake, 0o755);
    const { status, job } = await watched(t, ['--', fake, 'https://example.com/'], {}, async (listener) => {
      await listener.until(({ message }) => message === half, half);
      writeFileSync(`${fake}.go`, '');
    });
    assert.equal(status, 1);
    assert.equal(job.error, 'yt-dlp exited with status 1: ERROR: unable to download video data: HTTP Error 403: Forbidden');
    assert.equal(job.progress, 0.75, 'half of the second of two files');
  });

  test('the exit status is that of the command', async (t) => {
    for (const [args, status, error] of [
      [['true'], 0],
      [['sh', '-c', 'exit 42'], 42, 'sh exited with status 42'],
      [['sh', '-c', 'echo first >&2; echo last >&2; echo >&2; exit 1'], 1, 'sh exited with status 1: last'],
      [['sh', '-c', 'kill -TERM $$'], 143, 'sh was ended by signal SIGTERM'],
      [['no-such-command'], 127, 'no-such-command: No such file or directory'],
      [['/etc/passwd'], 126, 'passwd: Permission denied'],
    ]) {
      const id = name();
      const run = await finish(t, ['--job', id, '--', ...args]);
      assert.equal(run.status, status, args.join(' ') + run.err);
      assert.equal((await server.job(id)).error, error);
    }
  });

  test('wrong usage is told with status 2, and nothing is run', async (t) => {
    const trace = file('trace');
    for (const args of [
      [], ['touch', trace], ['--'], ['--job', 'a b', '--', 'touch', trace], ['--parse', 'x', '--', 'touch', trace],
      ['--result', '{', '--', 'touch', trace], ['--server', 'nowhere', '--', 'touch', trace]]) {
      const run = await finish(t, args);
      assert.equal(run.status, 2, args.join(' '));
      assert.ok(run.err.length > 0);
    }
    assert.ok(!existsSync(trace));
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    test(`${signal} is passed on, and the end awaited`, async (t) => {
      const id = name();
      const short = signal.slice(3);
      const run = start(t, ['--job', id, '--', 'sh', '-c',
        `trap 'echo caught; exit 9' ${short}; echo ready; while :; do sleep 0.05; done`]);
      await waitFor(() => run.out.toString() === 'ready\n', 'the command');
      run.child.kill(signal);
      assert.deepEqual(await within(run.ended, 'the end'), { code: 9, signal: null });
      assert.equal(run.out.toString(), 'ready\ncaught\n');
      assert.equal((await server.job(id)).error, 'sh exited with status 9');
    });
  }

  test('a command that a signal ends makes 128 and the signal', async (t) => {
    const id = name();
    const run = start(t, ['--job', id, '--', 'sh', '-c', 'echo ready; exec sleep 60']);
    await waitFor(() => run.out.toString() === 'ready\n', 'the command');
    run.child.kill('SIGINT');
    assert.deepEqual(await within(run.ended, 'the end'), { code: 130, signal: null });
    assert.equal((await server.job(id)).error, 'sh was ended by signal SIGINT');
  });

  // Ctrl-C as soon as the program has said "ready"; gives what the screen shows.
  async function interrupted(t, program, then = () => {}) {
    writeFileSync(file('program.py'), program);
    const command = `'${binary}' run --job ${name()} -- python3 ${file('program.py')}`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      env: environment({ ...env, SHELL: '/bin/sh', TERM: 'xterm' }), stdio: ['pipe', 'pipe', 'pipe'] });
    t.after(() => terminal.kill('SIGKILL'));
    let screen = '';
    terminal.stdout.on('data', (data) => (screen += data));
    const ended = new Promise((resolve) => terminal.on('close', resolve));
    const [, parent] = await waitFor(() => /ready (\d+)/.exec(screen), 'the command');
    terminal.stdin.write('\x03');
    await waitFor(() => screen.includes('^C'), 'the terminal to show it');
    then(Number(parent));
    await within(ended, 'the end');
    return screen;
  }

  test('Ctrl-C on a terminal reaches the command', async (t) => {
    const screen = await interrupted(t, `
import os, signal, time
def caught(*_):
    print("caught", flush=True)
    time.sleep(0.5)
    os._exit(0)
signal.signal(signal.SIGINT, caught)
print("ready", os.getppid(), flush=True)
time.sleep(60)
`);
    assert.equal(screen.match(/caught/g)?.length, 1, screen);
  });

  // In a group of its own the command does not have it from the terminal.
  test('Ctrl-C on a terminal is not passed on a second time', async (t) => {
    const screen = await interrupted(t, `
import os, signal, time
os.setpgid(0, 0)
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
signal.signal(signal.SIGTERM, lambda *_: (print("terminated", flush=True), os._exit(0)))
print("ready", os.getppid(), flush=True)
while True:
    time.sleep(60)
`, (parent) => process.kill(parent, 'SIGTERM'));
    assert.match(screen, /terminated/);
    assert.doesNotMatch(screen, /interrupted/);
  });

  test('killed itself, it does not leave the command behind', async (t) => {
    const run = start(t, ['--job', name(), '--', 'sh', '-c', 'echo $$; exec sleep 60']);
    const pid = Number(await waitFor(() => /^(\d+)\n/.exec(run.out.toString())?.[1], 'its pid'));
    run.child.kill('SIGKILL');
    await waitFor(() => !isAlive(pid), 'the command to end', { timeout: 15_000 });
  });

  test('50 MB pass through byte for byte, both ways', async (t) => {
    const bytes = randomBytes(50_000_000);
    const run = start(t, ['--job', name(), '--', 'cat'], { stdin: 'pipe' });
    run.child.stdin.end(bytes);
    assert.equal((await within(run.ended, 'the end')).code, 0, run.err);
    assert.equal(run.out.length, bytes.length);
    assert.equal(sha(run.out), sha(bytes));
    assert.equal(run.err, '');
  });

  test('output comes at once, also a line that has not ended', async (t) => {
    const run = start(t, ['--job', name(), '--', 'sh', '-c', 'printf "your name? "; read name; echo "hello $name"'],
      { stdin: 'pipe' });
    await waitFor(() => run.out.toString() === 'your name? ', 'the question');
    run.child.stdin.end('Ada\n');
    await within(run.ended, 'the end');
    assert.equal(run.out.toString(), 'your name? hello Ada\n');
  });

  test('a reader who has gone ends the command as it would without us', async (t) => {
    const run = start(t, ['--job', name(), '--', 'yes']);
    await waitFor(() => run.pieces.length > 0, 'something to come');
    run.child.stdout.destroy();
    assert.equal((await within(new Promise((resolve) => run.child.on('exit', resolve)), 'the end')), 128 + 13);
  });

  test('--parse none gives the command our own streams', async (t) => {
    const run = await finish(t, ['--job', name(), '--parse', 'none', '--', 'sh', '-c',
      'readlink /proc/$$/fd/1; readlink /proc/$PPID/fd/1; echo PROGRESS 0.5; exit 4']);
    assert.equal(run.status, 4);
    const [own, parent] = run.out.toString().split('\n');
    assert.equal(own, parent);
  });

  test('who keeps a stream open behind the command does not hold the end up', async (t) => {
    const run = start(t, ['--job', name(), '--', 'sh', '-c', 'sleep 30 & echo $!']);
    const [code] = await within(new Promise((resolve) => run.child.on('exit', (...end) => resolve(end))), 'the end', 20_000);
    assert.equal(code, 0);
    const pid = Number(await waitFor(() => /^(\d+)\n/.exec(run.out.toString())?.[1], 'its pid'));
    signalAll([pid], 'SIGKILL');
  });

  test('a closed standard output is no place for our own connections', async (t) => {
    const id = name();
    const shell = spawn('sh', ['-c', `'${binary}' run --job ${id} -- sh -c 'echo PROGRESS 0.5; exit 7' >&-`], {
      env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => shell.kill('SIGKILL'));
    assert.equal(await within(new Promise((resolve) => shell.on('close', resolve)), 'the end'), 7);
    assert.equal((await server.job(id)).error, 'sh exited with status 7');
  });

  test('nohup stays nohup', async (t) => {
    const shell = spawn('sh', ['-c', `trap '' HUP; exec '${binary}' run --job ${name()} -- sh -c 'kill -HUP $$; echo alive'`], {
      env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => shell.kill('SIGKILL'));
    let out = '';
    shell.stdout.on('data', (data) => (out += data));
    assert.equal(await within(new Promise((resolve) => shell.on('close', resolve)), 'the end'), 0);
    assert.equal(out, 'alive\n');
  });

  test('a server that is away is named once and does not hold the command up', async (t) => {
    const run = await finish(t, ['--server', 'http://127.0.0.1:1', '--job', name(), '--report-timeout', '1s', '--',
      'sh', '-c', 'for i in 1 2 3 4 5 6; do echo PROGRESS 0.$i; sleep 0.1; done; exit 5']);
    assert.equal(run.status, 5);
    assert.equal(run.err.match(/cannot reach http:\/\/127.0.0.1:1: .*tried again/g)?.length, 1, run.err);
    assert.equal(run.err.match(/how the command ended could not be reported/g)?.length, 1, run.err);
    assert.equal(run.err.trim().split('\n').length, 2, run.err);
  });

  test('a server that refuses is named once, and the command goes on', async (t) => {
    const id = name();
    await server.report(id, { status: 'completed', result: {} });
    const run = await finish(t, ['--job', id, '--', 'sh', '-c', 'for i in 1 2 3; do echo PROGRESS 0.$i; sleep 0.3; done']);
    assert.equal(run.status, 0);
    assert.equal(run.err.trim().split('\n').length, 1, run.err);
    assert.match(run.err, /^reelay run: .*without being reported/);
  });

  test('a server that comes back hears how far it is, and the end', async (t) => {
    const own = await Server.during(t);
    const go = file('go-on');
    const id = name();
    const run = start(t, ['--server', own.origin, '--job', id, '--', 'sh', '-c',
      `echo PROGRESS 0.2; while [ ! -e ${go} ]; do sleep 0.05; done; echo PROGRESS 0.6; while [ ! -e ${go}2 ]; do sleep 0.05; done`]);
    await waitFor(async () => (await own.job(id))?.progress === 0.2, 'the first report');
    await own.kill();
    writeFileSync(go, '');
    await waitFor(() => run.err.includes('cannot reach') || run.err.includes('broke'), 'the complaint');
    await own.start();
    await waitFor(async () => (await own.job(id))?.progress === 0.6, 'the news');
    await own.kill();
    writeFileSync(`${go}2`, '');
    await own.start();
    assert.deepEqual(await within(run.ended, 'the end'), { code: 0, signal: null });
    assert.equal((await own.job(id)).state, 'completed');
    assert.equal(run.err.match(/tried again/g).length, 1, run.err);
  });

  // Takes every connection and says nothing.
  async function silent(t) {
    const sockets = new Set();
    const listener = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    t.after(() => (sockets.forEach((socket) => socket.destroy()), listener.close()));
    return `http://127.0.0.1:${listener.address().port}`;
  }

  test('a server that never answers costs the command no time', async (t) => {
    const origin = await silent(t);
    const done = file('done');
    // It would have to wait for an hour.
    const run = start(t, ['--server', origin, '--token', 't', '--job', name(), '--report-timeout', '1h', '--', 'sh', '-c',
      `echo $$; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "PROGRESS 0.5 step $i"; done; touch ${done}`]);
    await waitFor(() => existsSync(done), 'the command', { timeout: 30_000 });
    const pid = Number(await waitFor(() => /^(\d+)\n/.exec(run.out.toString())?.[1], 'its pid'));
    await waitFor(() => !existsSync(`/proc/${pid}`), 'the command to end');
    run.child.kill('SIGTERM');
    assert.equal((await within(run.ended, 'the end')).code, 0);
    assert.equal(run.out.toString().match(/\n/g).length, 20_001);
    assert.match(run.err, /could not be reported/);
  });

  test('a signal behind the end cuts the last report short', async (t) => {
    const origin = await silent(t);
    const run = start(t, ['--server', origin, '--token', 't', '--job', name(), '--report-timeout', '1h', '--',
      'sh', '-c', 'echo $$; exit 6']);
    const pid = Number(await waitFor(() => /^(\d+)\n/.exec(run.out.toString())?.[1], 'its pid'));
    await waitFor(() => !existsSync(`/proc/${pid}`), 'the command to end');
    run.child.kill('SIGTERM');
    assert.deepEqual(await within(run.ended, 'the end'), { code: 6, signal: null });
  });

  test('reports are few however much is said', async (t) => {
    let reports = 0;
    const counter = http.createServer((request, response) => {
      reports++;
      request.resume().on('end', () => response.end('{"id":"x","state":"processing","seq":1}'));
    });
    await new Promise((resolve) => counter.listen(0, '127.0.0.1', resolve));
    t.after(() => (counter.closeAllConnections?.(), counter.close()));
    const began = Date.now();
    await finish(t, ['--server', `http://127.0.0.1:${counter.address().port}`, '--token', 't', '--job', name(), '--',
      'sh', '-c', 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo PROGRESS 0.5; done; sleep 1; echo PROGRESS 0.6; sleep 0.5']);
    const seconds = (Date.now() - began) / 1000;
    assert.ok(reports >= 3 && reports <= 4 * seconds + 3, `${reports} in ${seconds} s`);
  });

  test('the command gets none of our descriptors', async (t) => {
    const run = await finish(t, ['--', 'sh', '-c', 'ls -l /proc/self/fd']);
    assert.doesNotMatch(run.out.toString(), /socket:|anon_inode/);
  });
});
