// The program as a client: upload, watch, report, token.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { clip, bulkyClip } from '../support/clips.mjs';
import { Faulty } from '../support/faulty.mjs';
import { verify } from '../support/hls.mjs';
import { binary, environment, reelay, Server, temporaryFolder } from '../support/server.mjs';
import { addWitness, waitFor, within } from '../support/wait.mjs';

const lines = (text) => text.split('\n').filter(Boolean);
const objects = (text) => lines(text).map((line) => JSON.parse(line));

describe('the command line', () => {
  let server;
  let token;
  let env;
  let state; // what the client keeps

  before(async () => {
    server = await Server.start();
    token = await server.token({ subject: 'cli' });
    state = temporaryFolder();
    env = { REELAY_SERVER: server.origin, REELAY_TOKEN: token, XDG_STATE_HOME: state };
  });
  after(async () => {
    await server.end();
    rmSync(state, { recursive: true, force: true });
  });

  const start = (args) => {
    const child = spawn(binary, args, { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    child.out = '';
    child.err = '';
    child.stdout.on('data', (data) => (child.out += data));
    child.stderr.on('data', (data) => (child.err += data));
    child.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    return child;
  };

  // An upload that has sent three chunks and cannot send a fourth: it reaches the server
  // by a relay that keeps it, until `free`.
  const heldUpload = async (t, ...args) => {
    const relay = await new Faulty(server.origin).listen();
    t.after(() => relay.stop());
    let chunks = 0;
    relay.before = ({ method }) => method !== 'PUT' || ++chunks <= 3 || new Promise(() => {});
    const command = ['upload', '--server', relay.origin, '--chunk-size', '64K', '--parallel', '1', ...args];
    const client = start(command);
    t.after(() => client.kill('SIGKILL'));
    await waitFor(() => {
      assert.equal(client.exitCode, null, client.out + client.err);
      return chunks > 3 && /"sent":[1-9]/.test(client.out);
    }, 'some chunks to be sent');
    return { client, command, free: () => { relay.before = null; } };
  };

  // The same command behind its end: to the job's end, without what was sent.
  const goesOn = async ({ client, command, free }) => {
    const [{ id }] = objects(client.out.slice(0, client.out.indexOf('\n')));
    const { chunks, total_chunks } = (await server.get(`/streaming/uploads/${id}`, token)).json;
    assert.ok(chunks.length > 0 && chunks.length < total_chunks, `${chunks.length} of ${total_chunks}`);
    free();
    const second = await reelay(command, { env, timeout: 200_000 });
    assert.equal(second.status, 0, second.stderr);
    const steps = objects(second.stdout);
    assert.equal(String(steps.at(-1).id), String(id), 'it began anew');
    const sent = steps.filter((step) => step.stage === 'uploading').map((step) => step.sent);
    assert.ok(sent[0] >= chunks.length * 64 * 1024, `it sent again what was there: ${sent[0]}`);
  };

  test('says what it can do', async () => {
    for (const args of [['--help']]) {
      const { status, stdout } = await reelay(args);
      assert.equal(status, 0, args.join(' '));
      for (const name of ['serve', 'upload', 'watch', 'report', 'run', 'token']) assert.match(stdout, new RegExp(`\\b${name}\\b`));
    }
    for (const name of ['serve', 'upload', 'watch', 'report', 'run', 'token']) {
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

  test('upload shows a person a bar, and in the end where it plays', async (t) => {
    const file = await clip({ seconds: 3 });
    const command = `'${binary}' upload '${file}'`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      env: environment({ ...env, TERM: 'xterm', SHELL: '/bin/sh' }), stdio: ['pipe', 'pipe', 'pipe'] });
    t.after(() => terminal.kill('SIGKILL'));
    let screen = '';
    t.after(addWitness(() => `--- the screen:\n${screen.slice(-2000)}`));
    terminal.stdout.on('data', (data) => (screen += data));
    const ended = new Promise((resolve) => terminal.on('close', resolve));
    assert.equal(await within(ended, 'the end of upload'), 0, screen);
    assert.match(screen, /\d+\s?%/);
    const url = /https?:\/\/\S+?\.m3u8/.exec(screen)?.[0];
    assert.ok(url, screen);
    assert.equal((await server.get(url)).status, 200);
  });

  test('upload --json says every step as one JSON object per line', async () => {
    const file = await clip({ seconds: 3 });
    const { status, stdout, stderr } = await reelay(['upload', '--json', file], { env });
    assert.equal(status, 0, stderr);
    const steps = objects(stdout);
    assert.equal(steps[0].state, 'uploading');
    const converting = steps.filter((step) => step.stage === 'converting').map((step) => step.progress);
    for (let at = 1; at < converting.length; at++) assert.ok(converting[at] >= converting[at - 1], stdout);
    const last = steps.at(-1);
    assert.equal(last.state, 'completed', stdout);
    const job = await server.job(last.id, token);
    assert.equal(job.state, 'completed');
    const { master } = await verify(server, job, 3);
    assert.equal(last.playlist_url, master);
  });

  test('upload without a terminal is the same as with --json', async () => {
    const { status, stdout } = await reelay(['upload', await clip({ seconds: 2 })], { env });
    assert.equal(status, 0);
    assert.equal(objects(stdout).at(-1).state, 'completed');
  });

  test('upload of what is no video ends with status 1 and says why', async () => {
    const { status, stdout } = await reelay(['upload', '/etc/hostname'], { env });
    assert.equal(status, 1);
    const last = objects(stdout).at(-1);
    assert.equal(last.state, 'failed');
    assert.match(last.error, /not a video/);
  });

  test('upload of a file that is not there ends with a word, not a trace', async () => {
    const { status, stdout, stderr } = await reelay(['upload', '/no/such/file.mp4'], { env });
    assert.ok([1, 2].includes(status), `${status}`);
    assert.match(stdout + stderr, /no\/such\/file/);
  });

  test('a server that is not there is named, with status 3', { timeout: 120_000 }, async () => {
    const away = { ...env, REELAY_SERVER: 'http://127.0.0.1:1' };
    const { status, stdout, stderr } = await reelay(['report', 'x', '--progress', '0.5'], { env: away });
    assert.equal(status, 3, stdout + stderr);
    assert.match(stdout + stderr, /127\.0\.0\.1:1/);
  });

  test('a token that is none is refused with status 1', async () => {
    const { status } = await reelay(['upload', await clip({ seconds: 2 })], { env: { ...env, REELAY_TOKEN: 'none' } });
    assert.equal(status, 1);
  });

  test('upload goes on where it was cut off', { timeout: 240_000 }, async (t) => {
    const upload = await heldUpload(t, await bulkyClip());
    upload.client.kill('SIGKILL');
    await upload.client.ended;
    await goesOn(upload);
  });

  test('Ctrl-C ends upload with status 130, and the upload can go on', { timeout: 240_000 }, async (t) => {
    const upload = await heldUpload(t, '--title', 'interrupted', await bulkyClip());
    upload.client.kill('SIGINT');
    assert.deepEqual(await within(upload.client.ended, 'the end of upload'), { code: 130, signal: null });
    assert.equal(objects(upload.client.out).at(-1).state, 'interrupted');
    await goesOn(upload);
  });

  test('report and watch: what one says the other hears', async () => {
    const watcher = start(['watch', '--json', 'reported']);
    for (const progress of ['0.25', '0.5']) {
      const said = await reelay(
        ['report', 'reported', '--stage', 'rendering', '--progress', progress, '--message', `at ${progress}`], { env });
      assert.equal(said.status, 0, said.stderr);
      assert.equal(said.stdout, '');
      await waitFor(() => watcher.out.includes(`at ${progress}`), 'the watcher to hear');
    }
    const end = await reelay(['report', 'reported', '--complete', '--result', '{"frames":2}'], { env });
    assert.equal(end.status, 0, end.stderr);
    assert.deepEqual(await within(watcher.ended, 'the end of watch'), { code: 0, signal: null });
    const last = objects(watcher.out).at(-1);
    assert.equal(last.state, 'completed');
    assert.deepEqual(last.result, { frames: 2 });
    const again = await reelay(['report', 'reported', '--progress', '0.1'], { env });
    assert.equal(again.status, 1, 'a job that has ended takes no report');
  });

  test('watch of a job that fails ends with status 1', async () => {
    const watcher = start(['watch', 'doomed']);
    const said = await reelay(['report', 'doomed', '--error', 'Out of memory'], { env });
    assert.equal(said.status, 0, said.stderr);
    assert.equal((await within(watcher.ended, 'the end of watch')).code, 1);
    assert.match(watcher.out + watcher.err, /Out of memory/);
    const late = await reelay(['watch', '--json', 'doomed'], { env });
    assert.deepEqual(objects(late.stdout).map((line) => line.state), ['failed'], 'it said what is long over');
  });

  test('watch survives a restart of the server', async (t) => {
    const own = await Server.during(t);
    const watcher = spawn(binary, ['watch', '--json', 'kept'], {
      env: environment({ ...env, REELAY_SERVER: own.origin }), stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => watcher.kill('SIGKILL'));
    let out = '';
    watcher.stdout.on('data', (data) => (out += data));
    const ended = new Promise((resolve) => watcher.on('close', resolve));
    await own.tell('kept', { stage: 'a', progress: 0.5, message: 'before' });
    await waitFor(() => out.includes('before'), 'watch to hear');
    await own.kill();
    await own.start();
    await own.tell('kept', { status: 'completed', result: {} });
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
