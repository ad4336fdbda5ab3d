// The real binary, started for a test: on a free port of the loopback, with a
// data directory of its own. It must end as it should and without a word from
// a sanitizer, or the test fails.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { request } from './http.mjs';
import { freePort } from './ports.mjs';
import { addWitness, waitFor, within } from './wait.mjs';
import { watch } from './watcher.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = path.resolve(root, process.env.REELAY_BIN ?? 'build-asan/reelay');

const run = promisify(execFile);
const START_TIMEOUT = 30_000;
const STOP_TIMEOUT = 30_000;
const REPORT = /(Address|Leak|Thread|Memory)Sanitizer|runtime error:|Assertion .* failed/;

// What the child sees of our environment: no REELAY_* setting by accident.
export function environment(extra = {}) {
  const names = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'];
  const kept = names.filter((name) => process.env[name] !== undefined);
  return { ...Object.fromEntries(kept.map((name) => [name, process.env[name]])), ...extra };
}

export function temporaryFolder(prefix = 'reelay-e2e-') {
  return mkdtempSync(path.join(os.tmpdir(), prefix));
}

// Runs a subcommand to its end: { status, signal, stdout, stderr }.
export async function reelay(args, { env, cwd, input, timeout = 120_000 } = {}) {
  const child = spawn(binary, args, { env: environment(env), cwd, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
  const [status, signal] = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (...end) => resolve(end));
  });
  clearTimeout(timer);
  assert.doesNotMatch(stderr, REPORT, `reelay ${args.join(' ')}`);
  return { status, signal, stdout, stderr };
}

export class Server {
  // Options: args, env, dataDir (kept by who made it), port (else one that is still its own
  // when it is started again); an address and a command to start it by, for one that lives
  // in a network of its own.
  static async start(options = {}) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  // The same, ending with the test.
  static async during(t, options) {
    const server = new Server(options);
    t.after(() => server.end());
    await server.start();
    return server;
  }

  constructor({ args = [], env = {}, dataDir, port, address = '127.0.0.1', by = [] } = {}) {
    this.args = args;
    this.env = env;
    this.address = address;
    this.by = by;
    this.port = port;
    this.dataDir = dataDir ?? temporaryFolder();
    this.ownsDataDir = dataDir === undefined;
    this.log = '';
    this.tokens = new Map();
  }

  get words() {
    return ['serve', '--listen', `${this.address}:${this.port}`, '--data-dir', this.dataDir, ...this.args];
  }

  // Whether what it has said since it was started means that it runs.
  hasStarted(said) {
    const found = /event=listening\b.*\baddress=(\S+):(\d+)/.exec(said);
    if (found) this.port = Number(found[2]);
    return found;
  }

  async start() {
    this.port ??= await freePort();
    // setpriv: should this process be cut down, the server goes with it.
    this.process = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', ...this.by, binary, ...this.words],
      { env: environment(this.env), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.exit = null;
    this.exited = new Promise((resolve, reject) => {
      this.process.on('error', reject);
      this.process.on('close', (code, signal) => resolve((this.exit = { code, signal })));
    });
    const begin = this.log.length;
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.log += text));
      stream.unref();
    }
    // A server that a failed test left behind does not keep the others waiting.
    this.process.unref();
    this.forgetWitness?.();
    this.forgetWitness = addWitness(() => `--- ${this.words[0]} ${this.pid}:\n${this.log.slice(-6000)}`);
    await waitFor(
      () => {
        if (this.exit) throw new Error(`the server ended: ${JSON.stringify(this.exit)}\n${this.log}`);
        return this.hasStarted(this.log.slice(begin));
      },
      `the start of ${this.words[0]}`,
      { timeout: START_TIMEOUT },
    );
  }

  get pid() {
    return this.process?.pid;
  }

  get origin() {
    return `http://${this.host}`;
  }

  get host() {
    return `${this.address}:${this.port}`;
  }

  // Asks it to end; it must, with status 0.
  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    try {
      await within(this.exited, `the end of the server after ${signal}`, STOP_TIMEOUT);
    } catch (error) {
      await this.kill();
      throw error;
    }
    this.forgetWitness?.();
    assert.doesNotMatch(this.log, REPORT);
    assert.deepEqual(this.exit, { code: 0, signal: null }, this.log.slice(-4000));
  }

  // Ends it without a warning.
  async kill() {
    this.process.kill('SIGKILL');
    await within(this.exited, 'the end of the server after SIGKILL', STOP_TIMEOUT);
    assert.doesNotMatch(this.log, REPORT);
  }

  // For t.after and after().
  async end() {
    try {
      if (this.process && this.exit === null) await this.stop();
      assert.doesNotMatch(this.log, REPORT);
    } finally {
      this.forgetWitness?.();
      if (this.ownsDataDir) rmSync(this.dataDir, { recursive: true, force: true });
    }
  }

  request(target, options) {
    return request(new URL(target, this.origin), options);
  }

  get(target, token) {
    return this.request(target, { token });
  }

  post(target, json, token) {
    return this.request(target, { method: 'POST', json, token });
  }

  watch(target, options) {
    return watch(`ws://${this.host}${target}`, options);
  }

  // The doors.
  watchStream(id, token) {
    return this.watch(`/socket/stream/progress/${id}/${token === undefined ? '' : `?token=${token}`}`);
  }

  watchDownload(id) {
    return this.watch(`/ws/download/${id}`);
  }

  watchJob(id) {
    return this.watch(`/ws/jobs/${id}`);
  }

  watchAll() {
    return this.watch('/ws/progress');
  }

  // A token minted by the program itself.
  async token({ subject = 'alice', admin = false, args = [] } = {}) {
    const key = JSON.stringify([subject, admin, args]);
    if (!this.tokens.has(key)) {
      const words = ['token', '--data-dir', this.dataDir];
      if (subject !== null) words.push('--subject', subject);
      if (admin) words.push('--admin');
      const { stdout } = await run(binary, [...words, ...args], { env: environment(this.env) });
      this.tokens.set(key, stdout.trim());
    }
    return this.tokens.get(key);
  }

  // Says something about a job over plain HTTP, as a worker would.
  async report(id, body, token) {
    const answer = await this.post(`/api/jobs/${encodeURIComponent(id)}/progress`, body, token);
    assert.ok(answer.status >= 200 && answer.status < 300, `report: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  // The same, and waits until it can be seen: an answered report is accepted,
  // and heard a moment later.
  async tell(id, body, token) {
    const { seq } = await this.report(id, body, token);
    await waitFor(async () => (await this.job(id, token))?.seq >= seq, `report ${seq} of ${id} to be heard`, { every: 3 });
  }

  async job(id, token) {
    const answer = await this.get(`/api/jobs/${encodeURIComponent(id)}`, token);
    return answer.status === 404 ? null : answer.json;
  }

  // Pids of all processes below it, with their names.
  children(name) {
    return descendants(this.pid).filter((child) => name === undefined || child.name === name);
  }

  // Resident memory in bytes.
  memory() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }
}

function processes() {
  const found = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [, pid, comm, state, parent] = /^(\d+) \((.*)\) (\S) (\d+)/s.exec(stat);
      found.push({ pid: Number(pid), name: comm, state, parent: Number(parent) });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

export function descendants(pid) {
  const all = processes();
  const below = [];
  const roots = [pid];
  while (roots.length > 0) {
    const parent = roots.pop();
    for (const child of all.filter((one) => one.parent === parent)) {
      below.push(child);
      roots.push(child.pid);
    }
  }
  return below;
}

// Sends a signal to those that have not ended meanwhile, and returns these.
export function signalAll(pids, name) {
  return pids.filter((pid) => {
    try {
      return process.kill(pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
      return false;
    }
  });
}

// Whether a process runs; one that ended and waits for its parent does not.
export function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
