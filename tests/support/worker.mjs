// `reelay worker`, started for a test: over the Redis and the folder of a server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

import { binary, descendants, environment } from './server.mjs';
import { addWitness, waitFor, within } from './wait.mjs';

const REPORT = /(Address|Leak|Thread|Memory)Sanitizer|runtime error:|Assertion .* failed/;

export class Worker {
  // It ends with the test.
  static async during(t, options) {
    const worker = new Worker(options);
    t.after(() => worker.end());
    await worker.start();
    return worker;
  }

  constructor({ redis, dataDir, args = [], env = {} }) {
    Object.assign(this, { redis, dataDir, args, env });
    this.log = '';
  }

  async start() {
    const begin = this.log.length;
    this.process = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', binary, 'worker', '--engine', this.redis.url, '--data-dir', this.dataDir, ...this.args],
      { env: environment(this.env), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.exit = null;
    this.exited = new Promise((resolve) => {
      this.process.on('close', (code, signal) => resolve((this.exit = { code, signal })));
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.log += text));
      stream.unref();
    }
    this.process.unref();
    this.forgetWitness?.();
    this.forgetWitness = addWitness(() => `--- worker ${this.pid}:\n${this.log.slice(-6000)}`);
    await waitFor(() => {
      if (this.exit) throw new Error(`the worker ended: ${JSON.stringify(this.exit)}\n${this.log}`);
      return this.log.includes('event=working', begin);
    }, 'the line event=working');
  }

  get pid() {
    return this.process.pid;
  }

  signal(name) {
    this.process.kill(name);
  }

  // Pids of all processes below it.
  children(name) {
    return descendants(this.pid).filter((child) => name === undefined || child.name === name);
  }

  said(event, fields = '') {
    return waitFor(() => new RegExp(`event=${event}\\b.*${fields}`).test(this.log), `event=${event} ${fields}`);
  }

  async stop(signal = 'SIGTERM') {
    this.signal(signal);
    await within(this.exited, `the end of the worker after ${signal}`);
    this.forgetWitness?.();
    assert.doesNotMatch(this.log, REPORT);
    assert.deepEqual(this.exit, { code: 0, signal: null }, this.log.slice(-4000));
  }

  async kill() {
    this.signal('SIGKILL');
    await within(this.exited, 'the end of the worker after SIGKILL');
    assert.doesNotMatch(this.log, REPORT);
  }

  async end() {
    if (this.exit !== null) return;
    this.signal('SIGCONT');
    await this.stop();
  }
}
