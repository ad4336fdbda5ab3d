// The program as a client: upload, watch, report, token.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import { clip, longClip } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { binary, environment, reelay, Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const lines = (text) => text.split('\n').filter(Boolean);
const objects = (text) => lines(text).map((line) => JSON.parse(line));

describe('the command line', () => {
  let server;
  let token;
  let env;

  before(async () => {
    server = await Server.start();
    token = await server.token({ subject: 'cli' });
    env = { REELAY_SERVER: server.origin, REELAY_TOKEN: token };
  });
  after(() => server.end());

  const start = (args) => {
    const child = spawn(binary, args, { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    child.out = '';
    child.err = '';
    child.stdout.on('data', (data) => (child.out += data));
    child.stderr.on('data', (data) => (child.err += data));
    child.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    return child;
  };

  test('says what it can do', async () => {
    for (const args of [['--help'], ['help']]) {
      const { status, stdout } = await reelay(args);
      assert.equal(status, 0, args.join(' '));
      for (const name of ['serve', 'upload', 'watch', 'report', 'token']) assert.match(stdout, new RegExp(`\\b${name}\\b`));
    }
    for (const name of ['serve', 'upload', 'watch', 'report', 'token']) {
      const { status, stdout } = await reelay([name, '--help']);
      assert.equal(status, 0, name);
      assert.match(stdout, /--/);
    }
    const version = await reelay(['--version']);
    assert.equal(version.status, 0);
    assert.match(version.stdout, /\d+\.\d+\.\d+/);
  });

  test('says what is wrong with a command line, with status 2', async () => {
    for (const args of [[], ['nonsense'], ['upload'], ['serve', '--no-such-option'], ['serve', '--listen'], ['watch']]) {
      const { status, stderr } = await reelay(args, { env });
      assert.equal(status, 2, `reelay ${args.join(' ')}: ${stderr}`);
      assert.ok(stderr.length > 0);
    }
  });

  test('upload takes a file all the way and says where it plays', async () => {
    const file = await clip({ seconds: 3 });
    const { status, stdout, stderr } = await reelay(['upload', file], { env });
    assert.equal(status, 0, stderr);
    const url = /https?:\/\/\S+\.m3u8/.exec(stdout)?.[0];
    assert.ok(url, stdout);
    assert.equal((await server.get(url)).status, 200);
  });

  test('upload --json says every step as one JSON object per line', async () => {
    const file = await clip({ seconds: 3 });
    const { status, stdout, stderr } = await reelay(['upload', '--json', file], { env });
    assert.equal(status, 0, stderr);
    const steps = objects(stdout);
    const last = steps.at(-1);
    assert.equal(last.state, 'completed', stdout);
    const job = await server.job(last.id, token);
    assert.equal(job.state, 'completed');
    await verify(server, job, 3);
  });

  test('upload of what is no video ends with status 1 and says why', async () => {
    const { status, stderr } = await reelay(['upload', '/etc/hostname'], { env });
    assert.equal(status, 1);
    assert.ok(stderr.length > 0);
  });

  test('upload of a file that is not there ends with a word, not a trace', async () => {
    const { status, stderr } = await reelay(['upload', '/no/such/file.mp4'], { env });
    assert.notEqual(status, 0);
    assert.match(stderr, /no\/such\/file/);
  });

  test('a server that is not there is named', async () => {
    const { status, stderr } = await reelay(['watch', 'x'], { env: { ...env, REELAY_SERVER: 'http://127.0.0.1:1' } });
    assert.notEqual(status, 0);
    assert.match(stderr, /127\.0\.0\.1:1/);
  });

  test('upload goes on where it was cut off', { timeout: 240_000 }, async () => {
    const file = await longClip();
    const first = start(['upload', '--json', '--chunk-size', '256K', file]);
    await waitFor(() => server.log && objectsSoFar(first.out).some((step) => step.chunks_done > 2 || step.sent > 700_000), 'some chunks to be sent');
    first.kill('SIGKILL');
    await first.ended;
    const id = objectsSoFar(first.out).find((step) => step.id).id;
    const before = await server.get(`/streaming/uploads/${id}`, token);
    assert.ok(before.json.chunks.length > 0);
    const second = await reelay(['upload', '--json', '--chunk-size', '256K', file], { env, timeout: 200_000 });
    assert.equal(second.status, 0, second.stderr);
    const steps = objects(second.stdout);
    assert.equal(String(steps.at(-1).id), String(id), 'it began anew');
    assert.equal(steps.at(-1).state, 'completed');
  });

  const objectsSoFar = (text) => objects(text.slice(0, text.lastIndexOf('\n') + 1));

  test('report and watch: what one says the other hears', async () => {
    const watcher = start(['watch', '--json', 'reported']);
    for (const progress of ['0.25', '0.5']) {
      const said = await reelay(['report', 'reported', '--stage', 'rendering', '--progress', progress, '--message', `at ${progress}`], { env });
      assert.equal(said.status, 0, said.stderr);
      await waitFor(() => watcher.out.includes(`at ${progress}`), 'the watcher to hear');
    }
    const end = await reelay(['report', 'reported', '--complete', '--result', '{"frames":2}'], { env });
    assert.equal(end.status, 0, end.stderr);
    assert.deepEqual(await within(watcher.ended, 'the end of watch'), { code: 0, signal: null });
    const heard = objects(watcher.out);
    assert.equal(heard.at(-1).status ?? heard.at(-1).state, 'completed');
  });

  test('watch of a job that fails ends with status 1', async () => {
    const watcher = start(['watch', 'doomed']);
    const said = await reelay(['report', 'doomed', '--fail', 'Out of memory'], { env });
    assert.equal(said.status, 0, said.stderr);
    assert.equal((await within(watcher.ended, 'the end of watch')).code, 1);
    assert.match(watcher.out + watcher.err, /Out of memory/);
  });

  test('watch survives a restart of the server', async (t) => {
    const own = await Server.during(t);
    const watcher = spawn(binary, ['watch', '--json', 'kept'], {
      env: environment({ REELAY_SERVER: own.origin }), stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => watcher.kill('SIGKILL'));
    let out = '';
    watcher.stdout.on('data', (data) => (out += data));
    const ended = new Promise((resolve) => watcher.on('close', resolve));
    await own.report('kept', { stage: 'a', progress: 0.5, message: 'before' });
    await waitFor(() => out.includes('before'), 'watch to hear');
    await own.kill();
    await own.start();
    await own.report('kept', { status: 'completed', result: {} });
    assert.equal(await within(ended, 'the end of watch'), 0);
  });

  test('token prints a token that the server takes', async () => {
    const { status, stdout } = await reelay(['token', '--data-dir', server.dataDir, '--subject', 'carol']);
    assert.equal(status, 0);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const claims = JSON.parse(Buffer.from(stdout.split('.')[1], 'base64url').toString());
    assert.equal(claims.sub, 'carol');
    assert.ok(claims.exp > Date.now() / 1000);
    const watcher = await server.watchStream(1, stdout.trim());
    await watcher.settle();
    assert.equal(watcher.messages[0].type, 'connection');
    await watcher.leave();
  });
});
