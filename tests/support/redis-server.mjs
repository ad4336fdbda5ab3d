// A real redis-server on a free port of the loopback, which keeps nothing.
import { execFile, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { promisify } from 'node:util';

import { freePort } from './ports.mjs';
import { temporaryFolder } from './server.mjs';
import { waitFor, within } from './wait.mjs';

const run = promisify(execFile);

export class Redis {
  // It ends with the test.
  static async during(t) {
    const redis = new Redis();
    redis.port = await freePort();
    redis.folder = temporaryFolder('reelay-redis-');
    t.after(() => redis.end());
    await redis.start();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  get pid() {
    return this.process.pid;
  }

  async start() {
    this.process = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1',
      '--dir', this.folder, '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
    this.exited = new Promise((resolve) => this.process.on('close', resolve));
    await waitFor(() => this.cli('ping').then((said) => said === 'PONG', () => false), 'Redis to answer');
  }

  async cli(...words) {
    const { stdout } = await run('redis-cli', ['-p', String(this.port), ...words]);
    return stdout.trimEnd();
  }

  // Until so many nodes listen to what is said of a job: that goes another way than what the
  // viewers are told when they come, and than reports.
  async isHeard(id, nodes = 1) {
    const channel = `progress:${id}`; // the last of three
    await waitFor(async () => Number((await this.cli('pubsub', 'numsub', channel)).split('\n')[1]) >= nodes,
      `${nodes} nodes to listen to ${channel}`);
  }

  // The same for those who listen to everything: each has three patterns.
  async isAllHeard(nodes = 1) {
    await waitFor(async () => {
      const listening = [...(await this.cli('client', 'list')).matchAll(/ psub=(\d+)/g)].map(([, count]) => Number(count));
      return listening.filter((count) => count >= 3).length >= nodes;
    }, `${nodes} nodes to listen to all`);
  }

  // What is published to the channels that fit, from when this returns on.
  async subscribe(pattern) {
    const child = spawn('redis-cli', ['-p', String(this.port), '--csv', 'psubscribe', pattern], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const heard = [];
    let text = '';
    let isReady = false;
    child.stdout.setEncoding('utf8').on('data', (data) => {
      text += data;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) {
        const fields = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => JSON.parse(`"${match[1]}"`));
        if (fields[0] === 'psubscribe') isReady = true;
        if (fields[0] === 'pmessage') heard.push({ channel: fields[2], message: JSON.parse(fields[3]) });
      }
    });
    this.children ??= [];
    this.children.push(child);
    await waitFor(() => isReady, `a subscription to ${pattern}`);
    return heard;
  }

  async stop() {
    this.process.kill('SIGCONT');
    this.process.kill('SIGKILL');
    await within(this.exited, 'the end of Redis');
  }

  async end() {
    for (const child of this.children ?? []) child.kill('SIGKILL');
    if (this.process) await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
