// A Socket.IO client that loses its node comes back to its files at another: it keeps one
// URL, behind which a load balancer sends it to whoever is there.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import net from 'node:net';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

import { Fleet, FleetRedis } from '../support/fleet.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { require } from '../support/packages.mjs';
import { Gateway, TRANSPORTS } from '../support/socketio.mjs';
import { waitFor } from '../support/wait.mjs';

// One address in front of several nodes. Bytes only; `to` may change at any time, and what
// goes on goes on.
class Balancer {
  #pairs = new Set();

  static async during(t, to) {
    const balancer = new Balancer();
    balancer.to = to;
    balancer.listener = net.createServer((near) => balancer.#take(near)).listen(0, '127.0.0.1');
    await new Promise((resolve) => balancer.listener.once('listening', resolve));
    balancer.listener.unref();
    t.after(() => balancer.#end());
    return balancer;
  }

  get origin() {
    return `http://127.0.0.1:${this.listener.address().port}`;
  }

  #take(near) {
    const far = net.connect(this.to.port, '127.0.0.1');
    const pair = { near, far, isLost: false };
    this.#pairs.add(pair);
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on('data', (data) => pair.isLost || other.write(data));
      one.on('error', () => {});
      one.on('close', () => pair.isLost || other.destroy());
    }
  }

  // The client has another network: it is cut off, and the node is not told.
  change() {
    for (const pair of this.#pairs) {
      pair.isLost = true;
      pair.near.destroy();
    }
  }

  #end() {
    this.listener.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }
}

const run = promisify(execFile);
const at = (percent, rest) => ({ stage: 'a', progress: percent / 100, message: 'x', ...rest });

function assertStory(gateway, file) {
  const percents = gateway.named('processing:progress').filter(({ fileId }) => fileId === file).map(({ progress }) => progress);
  assert.deepEqual(percents, [...percents].sort((a, b) => a - b), 'nothing older after something newer');
  const ends = gateway.named('processing:completed').filter(({ fileId }) => fileId === file);
  assert.equal(ends.length, 1, 'the end, once');
}

// What a subscription has left in Redis, once it is there.
function kept(fleet, gateway, file) {
  const key = `reelay:room:${gateway.socket._pid}`;
  return waitFor(async () => (await fleet.redis.cli('hexists', key, `job:${file}`)) === '1', `${file} in ${key}`);
}

async function begin(t, options) {
  const fleet = await Fleet.during(t, { workers: 0, ...options });
  const balancer = await Balancer.during(t, fleet.a);
  return { fleet, balancer };
}

describe('a client whose node is gone', () => {
  for (const transports of TRANSPORTS) {
    for (const how of ['kill', 'stop']) {
      test(`(${how}) hears the rest and the end at another over ${transports.join(', then ')}`, async (t) => {
        const { fleet, balancer } = await begin(t);
        const { a, b } = fleet;
        const gateway = await Gateway.during(t, balancer, { transports });
        const { id } = gateway.socket;
        await a.tell('kept', at(10));
        await gateway.subscribe('kept');
        await gateway.subscribe('left');
        await gateway.ask('unsubscribe:file', { fileId: 'left' });
        await b.tell('kept', at(30));
        await gateway.until('processing:progress', ({ progress }) => progress === 30);
        await kept(fleet, gateway, 'kept');
        balancer.to = b;
        await a[how]();
        await b.tell('kept', at(50));
        await b.tell('left', at(50));
        await gateway.until('processing:progress', ({ progress }) => progress === 50);
        assert.equal(gateway.socket.recovered, true);
        assert.equal(gateway.socket.id, id);
        await b.tell('kept', at(70));
        await gateway.until('processing:progress', ({ progress }) => progress === 70);
        await b.tell('kept', { status: 'completed', result: { n: 1 } });
        await gateway.until('processing:completed');
        await gateway.settle();
        assertStory(gateway, 'kept');
        assert.deepEqual(gateway.life('left'), []);
        assert.equal(gateway.named('subscribed').length, 2, 'it asked once');
      });
    }
  }

  test('hears an end that was said while it was nowhere', async (t) => {
    const { fleet, balancer } = await begin(t);
    const gateway = await Gateway.during(t, balancer, { transports: ['websocket'] });
    await gateway.subscribe('video');
    await fleet.a.tell('video', at(40));
    await gateway.until('processing:progress', ({ progress }) => progress === 40);
    await kept(fleet, gateway, 'video');
    await fleet.a.kill(); // the balancer still sends it there
    await waitFor(() => gateway.errors.length > 0, 'an attempt in vain');
    await fleet.b.tell('video', { status: 'completed', result: {} });
    balancer.to = fleet.b;
    await gateway.until('processing:completed');
    await gateway.settle();
    assert.equal(gateway.socket.recovered, true);
    assertStory(gateway, 'video');
  });

  test('goes from node to node, and back to one that was started anew', async (t) => {
    const { fleet, balancer } = await begin(t);
    const gateway = await Gateway.during(t, balancer, { transports: ['websocket'] });
    await gateway.subscribe('video');
    await kept(fleet, gateway, 'video');
    let percent = 10;
    for (const [here, next] of [[fleet.a, fleet.b], [fleet.b, fleet.a], [fleet.a, fleet.b]]) {
      await next.tell('video', at(percent));
      await gateway.until('processing:progress', ({ progress }) => progress === percent);
      await here.kill();
      balancer.to = next;
      await next.tell('video', at(percent + 10));
      await gateway.until('processing:progress', ({ progress }) => progress === percent + 10);
      assert.equal(gateway.socket.recovered, true);
      percent += 20;
      await here.start();
      await here.ready();
    }
    await fleet.a.tell('video', { status: 'completed', result: {} });
    await gateway.until('processing:completed');
    assertStory(gateway, 'video');
  });

  test('comes back to its only node, started anew', async (t) => {
    const { fleet } = await begin(t, { serves: 1 });
    const gateway = await Gateway.during(t, fleet.a, { transports: ['websocket'] });
    await gateway.subscribe('video');
    await kept(fleet, gateway, 'video');
    await fleet.a.kill();
    await fleet.a.start();
    await fleet.a.tell('video', at(20));
    await gateway.until('processing:progress', ({ progress }) => progress === 20);
    assert.equal(gateway.socket.recovered, true);
  });
});

test('clients come back to another node over a cluster', { timeout: 120_000 }, async (t) => {
  const more = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'];
  const nodes = await Promise.all([1, 2, 3].map(() => FleetRedis.during(t, { more })));
  await run('redis-cli', ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes']);
  const all = (command, says) => async () => {
    const answers = await Promise.all(nodes.map((node) => node.cli(...command)));
    return says(answers);
  };
  await waitFor(all(['cluster', 'info'], (states) => states.every((state) => /cluster_state:ok/.test(state))), 'the cluster to be one');
  const { fleet, balancer } = await begin(t, { redis: nodes[0] });
  const gateways = await Promise.all([...Array(12)].map(() => Gateway.during(t, balancer, { transports: ['websocket'] })));
  await Promise.all(gateways.map((gateway) => gateway.subscribe('video')));
  const rooms = all(['keys', 'reelay:room:*'], (keys) => keys.join('\n').split('\n').filter((key) => key !== '').length);
  await waitFor(async () => (await rooms()) === gateways.length, 'all of them to be known');
  balancer.to = fleet.b;
  await fleet.a.kill();
  await Promise.all(gateways.map((gateway) => gateway.back()));
  for (const gateway of gateways) assert.equal(gateway.socket.recovered, true);
  await fleet.b.tell('video', { status: 'completed', result: {} });
  for (const gateway of gateways) await gateway.until('processing:completed');
});

// Document 001's component: it subscribes when it is mounted, and only then.
test("the document's component, which subscribes once, hears a real video to its end", { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const balancer = await Balancer.during(t, fleet.a);
  const { io } = require('socket.io-client');
  const upload = await fleet.upload({ seconds: 20 });
  const shown = [];
  const fileId = String(upload.id);
  const socket = io(`${balancer.origin}/file-processing`, { reconnectionDelay: 20, reconnectionDelayMax: 50 });
  t.after(() => socket.disconnect());
  let connects = 0;
  socket.on('connect', () => connects++);
  const only = (show) => (data) => data.fileId === fileId && show(data);
  socket.emit('subscribe:file', { fileId });
  socket.on('processing:progress', only(({ progress }) => shown.push(progress)));
  socket.on('processing:completed', only(() => shown.push('completed')));
  socket.on('processing:failed', only(({ error }) => shown.push(error)));
  await waitFor(() => socket.connected, 'a connection');
  await kept(fleet, { socket }, fileId);
  await upload.assemble();
  const holder = await fleet.holder();
  await holder.paced(() => waitFor(() => shown.some((percent) => percent > 20), 'progress of the conversion'));
  holder.freeze();
  balancer.to = fleet.b;
  await fleet.a.kill();
  await waitFor(() => connects > 1 && socket.connected, 'the other one');
  assert.equal(socket.recovered, true);
  holder.thaw();
  await waitFor(() => shown.includes('completed'), 'the end', { timeout: 120_000 });
  assert.equal(shown.pop(), 'completed');
  assert.equal(shown.at(-1), 100);
  assert.ok(!shown.includes('completed'), 'the end, once');
  assert.deepEqual(shown, [...shown].sort((x, y) => x - y), 'no step back');
});

test('whoever is believed to be at its old node is at its new one', async (t) => {
  const { fleet, balancer } = await begin(t);
  const gateway = await Gateway.during(t, balancer, { transports: ['websocket'] });
  await gateway.subscribe('one');
  await kept(fleet, gateway, 'one');
  balancer.to = fleet.b;
  balancer.change();
  await gateway.back();
  assert.equal(gateway.socket.recovered, true);
  await gateway.subscribe('two');
  await kept(fleet, gateway, 'two');
  await fleet.a.tell('one', at(30));
  await fleet.a.tell('two', at(40));
  await gateway.until('processing:progress', ({ progress }) => progress === 30);
  await gateway.until('processing:progress', ({ progress }) => progress === 40);
  // Its old node ends, and says what it has to say of whom it lost.
  await fleet.a.stop();
  await fleet.a.start();
  await fleet.a.ready();
  balancer.to = fleet.a;
  await gateway.lose();
  assert.equal(gateway.socket.recovered, true);
  await fleet.b.tell('two', at(60));
  await gateway.until('processing:progress', ({ progress }) => progress === 60);
});

test('nobody is given who left, nor to somebody else, at any node', async (t) => {
  const fleet = await Fleet.during(t, { serves: 0, workers: 0 });
  for (let i = 0; i < 2; i++) await (await fleet.serve({ env: withSecret })).ready();
  const balancer = await Balancer.during(t, fleet.a);
  const gateway = await Gateway.during(t, balancer, { auth: { token: mint({ sub: 'alice' }) }, transports: ['websocket'] });
  await gateway.subscribe('hers');
  await kept(fleet, gateway, 'hers');
  const pid = gateway.socket._pid;
  const take = async (node, sub) => {
    const other = await Gateway.during(t, node, { transports: ['websocket'], auth: { token: mint({ sub }), pid, offset: 'x' } });
    const given = other.socket._pid === pid;
    await other.settle();
    other.leave();
    return given;
  };
  assert.equal(await take(fleet.b, 'mallory'), false);
  assert.equal(await take(fleet.a, 'mallory'), false);
  gateway.socket.disconnect();
  await waitFor(async () => (await fleet.redis.cli('hexists', `reelay:room:${pid}`, 'sid')) === '0', 'it to be forgotten');
  assert.equal(await take(fleet.b, 'alice'), false);
  assert.equal(await take(fleet.a, 'alice'), false);
});

test('while Redis is silent a client is let in, as a new one', async (t) => {
  const { fleet, balancer } = await begin(t);
  const gateway = await Gateway.during(t, balancer, { transports: ['websocket'] });
  await gateway.subscribe('video');
  await kept(fleet, gateway, 'video');
  process.kill(fleet.redis.pid, 'SIGSTOP');
  balancer.to = fleet.b;
  gateway.engine.close();
  await gateway.back();
  assert.equal(gateway.socket.recovered, false);
  process.kill(fleet.redis.pid, 'SIGCONT');
  await gateway.subscribe('video');
  await fleet.b.ready();
  await fleet.b.tell('video', at(30));
  await gateway.until('processing:progress', ({ progress }) => progress === 30);
});

test('who gives up waiting for it, and a node that ends meanwhile, end as they should', async (t) => {
  const { fleet } = await begin(t);
  const pid = 'waiting-0123456789_ABC';
  process.kill(fleet.redis.pid, 'SIGSTOP');
  const waiting = () => {
    const gateway = new Gateway(fleet.b, { transports: ['websocket'], reconnection: false, auth: { pid } });
    t.after(() => gateway.leave());
    return waitFor(() => gateway.socket.io._readyState === 'open', 'a socket').then(() => gateway);
  };
  const hasty = await waiting();
  const patient = await waiting();
  hasty.engine.close();
  await waitFor(() => patient.socket.connected, 'to be let in');
  assert.notEqual(patient.socket._pid, pid);
  const last = await waiting();
  await fleet.b.stop();
  await waitFor(() => !last.socket.io.engine || last.socket.io._readyState === 'closed', 'the end of the last');
  process.kill(fleet.redis.pid, 'SIGCONT');
});
