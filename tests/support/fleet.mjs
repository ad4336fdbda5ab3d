// Several nodes on one Redis, and what is done to them: killed, stopped, cut off. And
// those who watch a job meanwhile, at every door of whatever node there is.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';

import { clip } from './clips.mjs';
import { Listener } from './listener.mjs';
import { goOn, hold, paced } from './pace.mjs';
import { require } from './packages.mjs';
import { freePort } from './ports.mjs';
import { Redis } from './redis-server.mjs';
import { Server, isAlive, temporaryFolder } from './server.mjs';
import { Upload } from './upload.mjs';
import { addWitness, waitFor, within } from './wait.mjs';
import { Watcher } from './watcher.mjs';

const { io } = require('socket.io-client');
const run = promisify(execFile);

// A Redis that may remember (`keeps`), listen elsewhere too (`also`) and be set up as one
// of several (`more`).
export class FleetRedis extends Redis {
  static async during(t, { keeps = false, also = [], more = [], isDown = false } = {}) {
    const redis = new FleetRedis();
    Object.assign(redis, { keeps, also, more, port: await freePort(), folder: temporaryFolder('reelay-redis-') });
    t.after(() => redis.end());
    if (!isDown) await redis.start();
    return redis;
  }

  launch(args) {
    this.process = spawn('setpriv', ['--pdeathsig', 'KILL', 'redis-server', ...args], { stdio: 'ignore' });
    this.exited = new Promise((resolve) => this.process.on('close', resolve));
    this.process.unref();
  }

  answers() {
    return waitFor(() => this.cli('ping').then((said) => said === 'PONG', () => false), 'Redis to answer', { every: 30 });
  }

  async start() {
    this.launch(['--port', String(this.port), '--bind', '127.0.0.1', ...this.also, '--protected-mode', 'no',
      '--dir', this.folder, '--save', '', '--appendonly', this.keeps ? 'yes' : 'no', '--appendfsync', 'always', ...this.more]);
    await this.answers();
  }

  // Several commands that nothing comes between.
  async atOnce(commands) {
    const child = spawn('redis-cli', ['-p', String(this.port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
    child.stdin.end(`${['MULTI', ...commands, 'EXEC'].join('\n')}\n`);
    await within(new Promise((resolve) => child.on('close', resolve)), 'redis-cli');
    assert.doesNotMatch(said, /\bERR\b|EXECABORT/);
    return said;
  }
}

// Who watches over a primary and puts a replica in its place.
export class Sentinel extends FleetRedis {
  static async during(t, primary) {
    const sentinel = new Sentinel();
    Object.assign(sentinel, { port: await freePort(), folder: temporaryFolder('reelay-sentinel-') });
    const file = path.join(sentinel.folder, 'sentinel.conf');
    writeFileSync(file, `port ${sentinel.port}\nbind 127.0.0.1\ndir ${sentinel.folder}\n` +
      `sentinel monitor main 127.0.0.1 ${primary.port} 1\nsentinel down-after-milliseconds main 500\n` +
      'sentinel failover-timeout main 3000\n');
    t.after(() => sentinel.end());
    sentinel.launch([file, '--sentinel']);
    await sentinel.answers();
    return sentinel;
  }

  get url() {
    return `redis+sentinel://127.0.0.1:${this.port}/main`;
  }
}

// The way to Redis, which can be cut: nothing goes through any more, and nobody is
// told. When it is whole again, what was on the way arrives.
export class Relay {
  #pairs = new Set();
  #isCut = false;

  static async during(t, redis) {
    const relay = new Relay();
    relay.redis = redis;
    relay.listener = net.createServer((near) => relay.#take(near)).listen(0, '127.0.0.1');
    await new Promise((resolve) => relay.listener.once('listening', resolve));
    relay.listener.unref();
    t.after(() => relay.#end());
    return relay;
  }

  get url() {
    return `redis://127.0.0.1:${this.listener.address().port}/0`;
  }

  #take(near) {
    const pair = { near, far: null };
    this.#pairs.add(pair);
    near.on('error', () => {});
    near.pause();
    if (!this.#isCut) this.#join(pair);
  }

  #join(pair) {
    const { near } = pair;
    const far = (pair.far = net.connect(this.redis.port, '127.0.0.1'));
    const end = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    far.on('error', () => {});
    near.on('data', (data) => far.write(data));
    far.on('data', (data) => near.write(data));
    for (const one of [near, far]) {
      one.on('end', () => this.#isCut || end());
      one.on('close', () => this.#isCut || end());
    }
    if (this.#isCut) far.pause();
    else near.resume();
  }

  cut() {
    this.#isCut = true;
    for (const { near, far } of this.#pairs) {
      near.pause();
      far?.pause();
    }
  }

  heal() {
    this.#isCut = false;
    for (const pair of this.#pairs) {
      if (pair.near.destroyed || pair.far?.destroyed) {
        pair.near.destroy();
        pair.far?.destroy();
        this.#pairs.delete(pair);
      } else if (pair.far) {
        pair.far.resume();
        pair.near.resume();
      } else {
        this.#join(pair);
      }
    }
  }

  #end() {
    this.listener.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far?.destroy();
    }
  }
}

// A network of its own for a node, with a cable to Redis, which can be pulled, and
// another one to who watches. Only who may make networks has it.
let networks = 0;

export function mayMakeNetworks() {
  const name = `rl${process.pid}try`;
  try {
    execFileSync('ip', ['netns', 'add', name], { stdio: 'ignore' });
    try {
      execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up'], { stdio: 'ignore' });
      return true;
    } finally {
      execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    }
  } catch {
    return false;
  }
}

export class Network {
  static async during(t) {
    const network = new Network();
    const number = networks++;
    network.name = `rl${process.pid}n${number}`;
    const third = process.pid % 256;
    network.hosts = [`10.213.${third}.${number * 16 + 1}`, `10.213.${third}.${number * 16 + 9}`];
    network.nodes = [`10.213.${third}.${number * 16 + 2}`, `10.213.${third}.${number * 16 + 10}`];
    t.after(() => network.#end());
    await run('ip', ['netns', 'add', network.name]);
    await run('ip', ['-n', network.name, 'link', 'set', 'lo', 'up']);
    for (const [at, cable] of network.cables.entries()) {
      await run('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', `e${at}`, 'netns', network.name]);
      await run('ip', ['addr', 'add', `${network.hosts[at]}/29`, 'dev', cable]);
      await run('ip', ['link', 'set', cable, 'up']);
      await run('ip', ['-n', network.name, 'addr', 'add', `${network.nodes[at]}/29`, 'dev', `e${at}`]);
      await run('ip', ['-n', network.name, 'link', 'set', `e${at}`, 'up']);
    }
    return network;
  }

  get cables() {
    return [`${this.name}r`, `${this.name}w`];
  }

  // Where Redis has to listen, and where the node may be found.
  get redisAddress() {
    return this.hosts[0];
  }

  get address() {
    return this.nodes[1];
  }

  get by() {
    return ['ip', 'netns', 'exec', this.name];
  }

  get url() {
    return `redis://${this.hosts[0]}:${this.redis.port}/0`;
  }

  cut() {
    execFileSync('ip', ['link', 'set', this.cables[0], 'down']);
  }

  heal() {
    execFileSync('ip', ['link', 'set', this.cables[0], 'up']);
  }

  #end() {
    for (const cable of this.cables) spawn('ip', ['link', 'del', cable], { stdio: 'ignore' });
    spawn('ip', ['netns', 'del', this.name], { stdio: 'ignore' });
  }
}

// `reelay serve` as one of several.
export class Node extends Server {
  constructor({ engine, args = [], ...options }) {
    super({ ...options, args: ['--engine', engine, ...args] });
  }

  async isReady() {
    const answer = await this.get('/ready');
    assert.ok(answer.status === 200 || answer.status === 503, `${answer.status} ${answer.text}`);
    return answer.status === 200;
  }

  ready(is = true) {
    return waitFor(async () => (await this.isReady()) === is, `/ready of ${this.host} to be ${is}`, { every: 20 });
  }
}

// `reelay worker`.
export class Worker extends Server {
  constructor({ engine, args = [], ...options }) {
    super({ ...options, args: ['--engine', engine, ...args] });
  }

  get words() {
    return ['worker', '--data-dir', this.dataDir, ...this.args];
  }

  hasStarted(said) {
    return /event=working\b/.test(said);
  }

  get ffmpegs() {
    return this.children('ffmpeg').filter(({ pid }) => isAlive(pid));
  }

  // Stops its ffmpeg where it is, until `thaw`.
  freeze() {
    assert.ok(this.stops(), 'the conversion was over too soon');
    return this.frozen;
  }

  // Whether there was one.
  stops() {
    this.frozen = hold(this);
    return this.frozen.length > 0;
  }

  thaw() {
    goOn(this.frozen ?? []);
    this.frozen = [];
  }

  paced(wait) {
    return paced(this, wait);
  }

  async end() {
    this.thaw();
    if (this.process && this.exit === null) this.process.kill('SIGCONT');
    return super.end();
  }
}

export const LEASE = 2000;

export class Fleet {
  serves = [];
  workers = [];

  // `engine`: the URL of Redis, unless it is redis.url.
  static async during(t, { serves = 2, workers = 2, keeps, also, workerArgs = [], redis, ...rest } = {}) {
    const fleet = new Fleet();
    Object.assign(fleet, rest, { t, workerArgs });
    fleet.dataDir = temporaryFolder('reelay-fleet-');
    t.after(() => fleet.#end());
    fleet.redis = redis ?? (await FleetRedis.during(t, { keeps, also }));
    await Promise.all([
      ...[...Array(serves)].map(() => fleet.serve()),
      ...[...Array(workers)].map(() => fleet.worker()),
    ]);
    await Promise.all(fleet.serves.map((node) => node.ready()));
    return fleet;
  }

  async serve({ engine = this.engine ?? this.redis.url, args = [], ...options } = {}) {
    const node = new Node({ engine, dataDir: this.dataDir, args: [...(this.serveArgs ?? []), ...args], ...options });
    this.serves.push(node);
    await node.start();
    return node;
  }

  async worker({ engine = this.engine ?? this.redis.url, args = [], ...options } = {}) {
    const lease = args.includes('--lease') ? [] : ['--lease', `${LEASE / 1000}s`];
    const all = [...lease, '--preset', 'fast', ...this.workerArgs, ...args];
    const worker = new Worker({ engine, dataDir: this.dataDir, args: all, ...options });
    this.workers.push(worker);
    await worker.start();
    return worker;
  }

  get a() {
    return this.serves[0];
  }

  get b() {
    return this.serves[1];
  }

  // An upload of which everything is there but the word to begin.
  async upload({ seconds = 20, size = '640x480', rate = 15, chunks = 4 } = {}) {
    const bytes = readFileSync(await clip({ seconds, size, rate }));
    const upload = await Upload.create(this.a, { bytes, chunks });
    return upload.putAll();
  }

  // The worker that converts, once it does.
  holder(...but) {
    return waitFor(
      () => this.workers.find((worker) => !but.includes(worker) && worker.exit === null && worker.ffmpegs.length > 0),
      'a worker to run ffmpeg',
      { every: 10 },
    );
  }

  // The same, when its ffmpeg stands still.
  held(...but) {
    return waitFor(
      () => this.workers.find((worker) => !but.includes(worker) && worker.exit === null && worker.stops()),
      'a worker whose ffmpeg is held',
      { every: 10 },
    );
  }

  // What is left of a job besides what is published.
  remains(id) {
    return ['uploads', 'work']
      .flatMap((name) => {
        const folder = path.join(this.dataDir, name);
        return existsSync(folder) ? readdirSync(folder).map((entry) => `${name}/${entry}`) : [];
      })
      .filter((name) => name.split('/')[1].startsWith(String(id)));
  }

  // How many chunks of an upload are half there.
  receiving(id) {
    const folder = path.join(this.dataDir, 'uploads', String(id));
    return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.tmp')).length : 0;
  }

  // Everything that is published of a job: its name, and what is in it.
  published(job) {
    const folder = path.join(this.dataDir, 'media', job.hls_path);
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const file = path.join(entry.parentPath ?? entry.path, entry.name);
        return `${path.relative(folder, file)} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
      })
      .sort();
  }

  // Kills Redis, and waits until every node has noticed and says so.
  async loseRedis() {
    await this.redis.stop();
    for (const node of this.serves) {
      await node.ready(false);
      const { status, json } = await node.get('/health');
      assert.equal(status, 200);
      assert.equal(json.status, 'degraded');
      assert.equal(json.redis.status, 'away');
      assert.notEqual(json.redis.why ?? '', '');
    }
  }

  async findRedis() {
    await this.redis.start();
    await Promise.all(this.serves.map((node) => node.ready()));
  }

  // Workers first: they may have to give back what they hold.
  async #end() {
    const ended = await Promise.allSettled([...this.workers, ...this.serves].map((node) => node.end()));
    rmSync(this.dataDir, { recursive: true, force: true });
    const failed = ended.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
  }
}

// Who watches: at one door, of one node after the other, coming back whenever a
// connection ends, as every client does. What is heard stands in one row.
const STAGES = ['assembling', 'converting'];
const ENDS = ['completed', 'failed', 'cancelled'];

// A state: how far it is, as a number that only grows at this door, or how it ended.
// Most doors show what was cancelled as failed.
const step = (status, rank) =>
  (ENDS.includes(status) ? { end: status === 'cancelled' ? 'failed' : status } : { rank });

const socket = (target, says, { say } = {}) => async (server, id, token, hear) => {
  const watcher = new Watcher(`ws://${server.host}${target(id, token)}`, { handshakeTimeout: 10_000 });
  watcher.onmessage = (message) => {
    const state = says(message, String(id));
    if (state) hear(state);
  };
  await watcher.opened;
  if (say) watcher.send(say(String(id)));
  return { closed: watcher.closed, drop: () => watcher.drop(), settle: () => watcher.settle() };
};

const gateway = (event, data, id) => {
  if (data?.fileId !== id) return undefined;
  if (event === 'processing:completed') return { end: 'completed' };
  if (event === 'processing:failed') return { end: 'failed' };
  return event === 'processing:progress' && data.status === 'processing' ? { rank: data.progress } : undefined;
};

async function socketio(server, id, token, hear) {
  const client = io(`${server.origin}/file-processing`, {
    transports: ['websocket'], forceNew: true, reconnection: false, timeout: 10_000,
  });
  const closed = new Promise((resolve) => client.on('disconnect', resolve));
  client.onAny((event, data) => {
    const state = gateway(event, data, String(id));
    if (state) hear(state);
  });
  await new Promise((resolve, reject) => {
    client.on('connect', resolve);
    client.on('connect_error', (error) => {
      client.close();
      reject(error);
    });
  });
  client.emit('subscribe:file', { fileId: String(id) });
  return { closed, drop: () => client.disconnect(), settle: () => client.timeout(20_000).emitWithAck('are you there').catch(() => {}) };
}

async function events(server, id, token, hear, last) {
  const headers = last === undefined ? {} : { 'last-event-id': String(last) };
  const listener = new Listener(`${server.origin}/api/jobs/${id}/events`, { headers });
  await listener.opened;
  if (listener.status !== 200) {
    listener.drop();
    if (listener.status === 204) return null;
    throw new Error(`${listener.status}`);
  }
  let next = 0;
  const drain = () => {
    for (; next < listener.events.length; next++) {
      const { data } = listener.events[next];
      hear({ ...step(data.state, (STAGES.indexOf(data.stage) + 1) * 1000 + data.progress), seq: data.seq, text: JSON.stringify(data) });
    }
  };
  listener.answer.on('data', drain);
  const closed = new Promise((resolve) => listener.answer.on('close', resolve));
  drain();
  return { closed, drop: () => listener.drop(), settle: async () => {} };
}

export const DOORS = {
  stream: socket((id, token) => `/socket/stream/progress/${id}/?token=${token}`, ({ type, stage, progress }) => {
    if (type === 'complete') return { end: 'completed' };
    if (type === 'error') return { end: 'failed' };
    return type === 'progress' ? { rank: STAGES.indexOf(stage) * 1000 + progress } : undefined;
  }),
  download: socket((id) => `/ws/download/${id}`, ({ data }) => data?.status && step(data.status, data.progress)),
  jobs: socket((id) => `/ws/jobs/${id}`, ({ status, progress }) => status && step(status, progress)),
  broadcast: socket(() => '/ws/progress', ({ video_id: of, type, status, percent }, id) => {
    if (of !== id) return undefined;
    return type === 'status' ? { end: status === 'complete' ? 'completed' : 'failed' } : { rank: percent };
  }),
  plain: socket(() => '/file-processing', ({ event, data }, id) => gateway(event, data, id), {
    say: (id) => ({ event: 'subscribe:file', data: { fileId: id } }),
  }),
  socketio,
  events,
};

export class Viewer {
  heard = []; // { rank | end, seq?, node, at }
  connections = 0;
  connection = null;
  #isOver = false;

  // `nodes`: where it may go; it begins with the first, and takes the next one
  // whenever it was lost.
  constructor(door, nodes, id, token) {
    Object.assign(this, { door, nodes, id, token, at: 0 });
    this.done = this.#run();
    this.forget = addWitness(() => `--- ${this.name} of ${id}: ${this.told(12)}`);
  }

  get name() {
    return `${this.door} at ${this.nodes.map(({ port }) => port).join(', ')}`;
  }

  told(max = 40) {
    return this.heard.slice(-max).map(({ rank, end }) => end ?? rank).join(' ');
  }

  async #run() {
    while (!this.#isOver) {
      const node = this.nodes[this.at % this.nodes.length];
      try {
        const hear = (state) => this.heard.push({ ...state, node, at: Date.now() });
        const connection = await DOORS[this.door](node, this.id, this.token, hear, this.heard.at(-1)?.seq);
        if (connection === null) return; // there is no more to be heard
        this.connections++;
        this.connection = connection;
        if (this.#isOver) connection.drop();
        await connection.closed;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      this.connection = null;
      this.at++;
      if (this.ends.length > 0) return; // who knows the end does not come back for more
    }
  }

  get ends() {
    return this.heard.filter(({ end }) => end).map(({ end }) => end);
  }

  get rank() {
    return this.heard.findLast(({ rank }) => rank !== undefined)?.rank;
  }

  async opened() {
    await waitFor(() => this.connections > 0, `${this.name} to be let in`);
    await this.connection?.settle();
    return this;
  }

  async stop() {
    this.forget();
    this.#isOver = true;
    this.connection?.drop();
    await this.done;
  }

  // One end, which is the last; nothing older behind anything newer.
  assertStory(end = 'completed') {
    assert.deepEqual(this.ends, [end], `${this.name}: ${this.told()}`);
    assert.ok(this.heard.at(-1).end, `${this.name}: ${this.told()}`);
    this.assertForward();
  }

  assertForward() {
    const ranks = this.heard.filter(({ rank }) => rank !== undefined).map(({ rank }) => rank);
    for (let at = 1; at < ranks.length; at++) {
      assert.ok(ranks[at] >= ranks[at - 1], `${this.name}: ${ranks[at]} behind ${ranks[at - 1]}: ${this.told(200)}`);
    }
    const seqs = this.heard.filter(({ seq }) => seq !== undefined).map(({ seq }) => seq);
    for (let at = 1; at < seqs.length; at++) {
      // Who comes back is told again where it is.
      const isAgain = this.heard[at].node !== this.heard[at - 1].node || this.connections > 1;
      assert.ok(isAgain ? seqs[at] >= seqs[at - 1] : seqs[at] > seqs[at - 1], `${this.name}: seq ${seqs}`);
    }
  }
}

// Viewers of one job, at each door of each row of nodes.
export class Audience {
  static async during(t, rows, id, token, doors = Object.keys(DOORS)) {
    const audience = new Audience();
    audience.viewers = rows.flatMap((nodes) => doors.map((door) => new Viewer(door, nodes, id, token)));
    t.after(() => Promise.all(audience.viewers.map((viewer) => viewer.stop())));
    await Promise.all(audience.viewers.map((viewer) => viewer.opened()));
    return audience;
  }

  at(door) {
    return this.viewers.filter((viewer) => viewer.door === door);
  }

  // Until everybody has heard so many things in all.
  heard(count) {
    return waitFor(() => this.viewers.every(({ heard }) => heard.length >= count), `${count} messages at each door`);
  }

  // Until everybody has heard more than they have now; behind the end there is no more.
  progress() {
    const from = this.viewers.map(({ heard }) => heard.length);
    return waitFor(
      () => this.viewers.every(({ heard, ends }, at) => heard.length > from[at] || ends.length > 0),
      'news at each door',
    );
  }

  // Until everybody knows the end; and then nobody has heard anything twice.
  async end(end = 'completed') {
    await waitFor(
      () => this.viewers.every(({ ends }) => ends.length > 0),
      'everybody to hear the end',
      { timeout: 120_000 },
    );
    await Promise.all(this.viewers.map((viewer) => viewer.connection?.settle()));
    for (const viewer of this.viewers) viewer.assertStory(end);
  }
}

// Until so many nodes listen, each at whatever server of a cluster, to what reporters publish
// of a job: what is published before that, and kept nowhere, nobody hears.
export function areListening(servers, id, nodes = 2) {
  const count = async (server) => Number((await server.cli('pubsub', 'numsub', `job_progress:${id}`)).split('\n')[1]);
  return waitFor(
    async () => (await Promise.all(servers.map(count))).reduce((sum, one) => sum + one, 0) >= nodes,
    `${nodes} nodes to listen to ${id}`,
  );
}

// Milliseconds until a condition holds.
export async function measure(t, what, wait) {
  const begin = Date.now();
  await wait();
  const took = Date.now() - begin;
  t.diagnostic(`${what}: ${took} ms`);
  return took;
}
