// Redis as several servers: a primary with a replica behind Sentinels, and a cluster of
// three with a replica each. For Fleet.during({ redis }).
import { execFile, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { freePort } from './ports.mjs';
import { temporaryFolder } from './server.mjs';
import { waitFor, within } from './wait.mjs';

const run = promisify(execFile);

async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

// One redis-server of several.
class Instance {
  constructor(folder, port, args) {
    Object.assign(this, { folder, port, args });
  }

  async start() {
    this.process = spawn('setpriv', ['--pdeathsig', 'KILL', 'redis-server', ...this.args, '--port', String(this.port),
      '--bind', '127.0.0.1', '--protected-mode', 'no', '--dir', this.folder], { stdio: 'ignore' });
    this.exited = new Promise((resolve) => this.process.on('close', resolve));
    this.process.unref();
    await waitFor(() => this.cli('ping').then((said) => said === 'PONG', () => false), 'Redis to answer', { every: 30 });
  }

  async cli(...words) {
    const { stdout } = await run('redis-cli', ['-p', String(this.port), ...words]);
    return stdout.trimEnd();
  }

  async is(role, ...words) {
    return (await this.cli(...words).catch(() => '')).includes(role);
  }

  async kill() {
    this.process.kill('SIGCONT');
    this.process.kill('SIGKILL');
    await within(this.exited, 'the end of Redis');
  }
}

class Deployment {
  constructor(t) {
    this.folder = temporaryFolder('reelay-redis-');
    this.all = [];
    t.after(async () => {
      for (const one of this.all) await one.kill();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  async start(port, ...args) {
    const one = new Instance(this.folder, port, args);
    this.all.push(one);
    await one.start();
    return one;
  }
}

const KEEPS = (port) => ['--save', '', '--appendonly', 'yes', '--appenddirname', `aof-${port}`, '--repl-diskless-sync-delay', '0'];

export class Sentinels extends Deployment {
  static async during(t) {
    const s = new Sentinels(t);
    const [first, second, ...ports] = await freePorts(5);
    s.servers = [await s.start(first, ...KEEPS(first)), await s.start(second, ...KEEPS(second), '--replicaof', `127.0.0.1 ${first}`)];
    s.ports = ports;
    for (const port of ports) {
      const file = path.join(s.folder, `sentinel-${port}.conf`);
      writeFileSync(file, `sentinel monitor videos 127.0.0.1 ${first} 2\nsentinel down-after-milliseconds videos 1000\n`
        + 'sentinel failover-timeout videos 5000\n');
      await s.start(port, file, '--sentinel');
    }
    await waitFor(() => s.servers[1].is('master_link_status:up', 'info', 'replication'), 'the replica to follow');
    const sentinels = s.all.slice(2);
    await waitFor(async () => (await Promise.all(sentinels.map((one) => one.cli('sentinel', 'master', 'videos'))))
      .every((said) => /num-slaves\n1\n/.test(said) && /num-other-sentinels\n2\n/.test(said)), 'the Sentinels to know each other');
    return s;
  }

  get url() {
    return `redis+sentinel://${this.ports.map((port) => `127.0.0.1:${port}`).join(',')}/videos/0`;
  }

  async primary() {
    for (const one of this.servers) if (await one.is('role:master', 'info', 'replication')) return one;
    return undefined;
  }

  async cli(...words) {
    return (await this.primary()).cli(...words);
  }

  // Kills the primary, and waits for the replica to be one; the killed one comes back behind it.
  async failOver() {
    const old = await this.primary();
    const next = this.servers.find((one) => one !== old);
    await old.kill();
    await waitFor(() => next.is('role:master', 'info', 'replication'), 'the replica to be the primary');
    return async () => {
      await old.start();
      await waitFor(() => next.is('connected_slaves:1', 'info', 'replication'), 'the old primary to follow');
      await waitFor(() => old.is('master_link_status:up', 'info', 'replication'), 'the old primary to be in step');
    };
  }
}

export class Cluster extends Deployment {
  static async during(t) {
    const c = new Cluster(t);
    const ports = await freePorts(12);
    for (let at = 0; at < 6; at++) {
      await c.start(ports[at], ...KEEPS(ports[at]), '--cluster-enabled', 'yes', '--cluster-port', String(ports[at + 6]),
        '--cluster-config-file', `nodes-${at}.conf`, '--cluster-node-timeout', '1000', '--cluster-replica-validity-factor', '0');
    }
    await run('redis-cli', ['--cluster', 'create', ...c.all.map(({ port }, at) => `127.0.0.1:${port}@${ports[at + 6]}`),
      '--cluster-replicas', '1', '--cluster-yes']);
    await c.calm();
    return c;
  }

  get url() {
    return `redis://${this.all.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  // All know it to be whole, and every replica is in step.
  async calm() {
    await waitFor(async () => {
      for (const one of this.all) {
        if (!(await one.is('cluster_state:ok', 'cluster', 'info'))) return false;
        const said = await one.cli('info', 'replication');
        if (!/role:master[^]*connected_slaves:1/.test(said) && !said.includes('master_link_status:up')) return false;
      }
      return true;
    }, 'the cluster to be whole');
  }

  async of(key, except) {
    const alive = this.all.find((one) => one !== except);
    const slot = Number(await alive.cli('cluster', 'keyslot', key));
    const lines = (await alive.cli('cluster', 'nodes')).split('\n').map((line) => line.trim().split(' '));
    const line = lines.find(([, , flags, , , , , , ...ranges]) => flags.includes('master') && !flags.includes('fail')
      && ranges.some((range) => {
        const [from, to = from] = range.split('-').map(Number);
        return slot >= from && slot <= to;
      }));
    const port = line && Number(/:(\d+)@/.exec(line[1])[1]);
    return this.all.find((one) => one.port === port);
  }

  async cli(...words) {
    const { stdout } = await run('redis-cli', ['-c', '-p', String(this.all[0].port), ...words]);
    return stdout.trimEnd();
  }

  // Kills the primary of a key, and waits for its replica to be it.
  async failOver(key) {
    const old = await this.of(key);
    await old.kill();
    await waitFor(async () => {
      const now = await this.of(key, old);
      return now && now !== old;
    }, 'the replica to take over', { every: 50 });
    return async () => {
      await old.start();
      await this.calm();
    };
  }
}
