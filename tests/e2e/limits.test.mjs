// The limits that a stranger meets: what a client over one of them sees, that it
// is counted, and that nobody else feels it.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { limited, metrics, untilMetric } from '../support/metrics.mjs';
import { Server, reelay } from '../support/server.mjs';
import { Gateway } from '../support/socketio.mjs';
import { waitFor, within } from '../support/wait.mjs';
import { OP, Peer, Wire, frame } from '../support/wire.mjs';

const get = (target) => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

// A connection from an address of the loopback's that is not 127.0.0.1.
class Guest {
  static async from(localAddress, server) {
    const guest = new Guest();
    guest.text = '';
    guest.socket = net.connect({ port: server.port, host: '127.0.0.1', localAddress });
    guest.socket.setEncoding('latin1').on('data', (data) => (guest.text += data));
    guest.socket.on('error', () => {});
    guest.ended = new Promise((resolve) => guest.socket.on('close', resolve));
    await new Promise((resolve, reject) => {
      guest.socket.once('connect', resolve);
      guest.socket.once('error', reject);
    });
    return guest;
  }

  // The answer to a request, on a connection that stays if the server wants.
  async get(target) {
    const begin = this.text.length;
    this.socket.write(get(target));
    return waitFor(() => {
      const text = this.text.slice(begin);
      const found = /^HTTP\/1\.1 (\d+) .*?\r\nContent-Length: (\d+)\r\n(?:.*?\r\n)?\r\n/s.exec(text);
      if (!found) return this.socket.destroyed ? {} : null;
      const body = text.slice(found[0].length);
      return body.length < Number(found[2]) ? null : { status: Number(found[1]), body };
    }, 'an answer', { every: 2 });
  }

  async ask() {
    return (await this.get('/health')).status;
  }

  leave() {
    this.socket.destroy();
  }

  die() {
    this.socket.resetAndDestroy();
  }
}

// Counts what limits are met while `meet` runs: exactly `expected`.
async function meets(server, expected, meet) {
  const old = await metrics(server);
  await meet(old);
  const want = JSON.stringify(expected);
  let met;
  try {
    await waitFor(async () => {
      met = limited(old, await metrics(server));
      return JSON.stringify(met) === want;
    }, `the limits ${want}`, { timeout: 10_000 });
  } catch {
    assert.deepEqual(met, expected);
  }
}

const once = (name) => ({ [name]: 1 });

describe('connections', () => {
  let server;

  before(async () => {
    server = await Server.start({
      // A thousand who come one after the other are not in a hurry.
      args: ['--max-connections-per-address', '4', '--threads', '2', '--handshake-timeout', '10m', '--idle-timeout', '10m',
        // and this test, which comes from 127.0.0.1
        '--trusted-proxy', '127.7.0.0/16', '--trusted-proxy', '127.0.0.1'],
    });
  });
  after(() => server.end());

  test('of one address are limited; the place of one that ends is free again', async () => {
    const guests = [];
    const other = await server.watchDownload('other');
    for (let i = 0; i < 4; i++) guests.push(await Guest.from('127.0.0.5', server));
    for (const guest of guests) assert.equal(await guest.ask(), 200);
    await meets(server, once('max_connections_per_address'), async () => {
      const fifth = await Guest.from('127.0.0.5', server);
      await fifth.ended;
      assert.match(fifth.text, /^HTTP\/1\.1 429 Too Many Requests\r\n/);
      assert.match(fifth.text, /\r\nRetry-After: 1\r\n/);
      const body = fifth.text.slice(fifth.text.indexOf('\r\n\r\n') + 4);
      assert.equal(Number(/Content-Length: (\d+)/.exec(fifth.text)[1]), body.length);
      assert.deepEqual(JSON.parse(body), {
        error: { code: 'TOO_MANY_REQUESTS', message: 'Too many connections from this address' },
      });
    });
    // Nobody else is refused, and neither are those that are in already.
    const neighbour = await Guest.from('127.0.0.6', server);
    assert.equal(await neighbour.ask(), 200);
    assert.equal(await guests[3].ask(), 200);
    await other.settle();
    for (const end of ['leave', 'die', 'leave', 'die']) {
      const { length } = guests;
      guests.shift()[end]();
      await waitFor(async () => {
        const guest = await Guest.from('127.0.0.5', server);
        if ((await guest.ask()) !== 200) return false;
        guests.push(guest);
        return true;
      }, `a place after one's end by ${end}`);
      assert.equal(guests.length, length);
    }
    for (const guest of [...guests, neighbour]) guest.leave();
    await other.leave();
  });

  test('of WebSockets count too, from the handshake to the end', async () => {
    const door = `ws://${server.host}/ws/download/a`;
    const watchers = [];
    for (let i = 0; i < 4; i++) watchers.push(await server.watch('/ws/download/a', { localAddress: '127.0.0.8' }));
    const refused = server.watch('/ws/download/a', { localAddress: '127.0.0.8' });
    await assert.rejects(refused, /429/, door);
    watchers.pop().drop();
    await waitFor(async () => {
      try {
        watchers.push(await server.watch('/ws/download/a', { localAddress: '127.0.0.8' }));
        return true;
      } catch (error) {
        assert.match(error.message, /429/);
        return false;
      }
    }, 'the place of the one that was dropped');
    for (const watcher of watchers) await watcher.leave();
  });

  test('of a trusted proxy are not limited', async () => {
    const guests = [];
    await meets(server, {}, async () => {
      for (let i = 0; i < 20; i++) guests.push(await Guest.from('127.7.0.1', server));
      for (const guest of guests) assert.equal(await guest.ask(), 200);
    });
    for (const guest of guests) guest.leave();
  });

  test('a thousand of 250 addresses are served, and none above', { timeout: 180_000 }, async () => {
    for (let round = 0; round < 2; round++) {
      const guests = [];
      for (let i = 0; i < 1000; i++) guests.push(await Guest.from(`127.0.1.${1 + (i % 250)}`, server));
      assert.deepEqual(new Set(await Promise.all(guests.map((guest) => guest.ask()))), new Set([200]));
      await meets(server, { max_connections_per_address: 250 }, async () => {
        for (let i = 0; i < 250; i++) {
          const guest = await Guest.from(`127.0.1.${1 + i}`, server);
          await guest.ended;
          assert.match(guest.text, /^HTTP\/1\.1 429 /);
        }
      });
      guests.forEach((guest, i) => (i % 2 ? guest.leave() : guest.die()));
      await untilMetric(server, 'reelay_connections{kind="http"}', 1); // the one that asks
    }
  });

  test('the server ends in order while an address has all its places', async (t) => {
    const full = await Server.during(t, { args: ['--max-connections-per-address', '3', '--threads', '2'] });
    const guests = [];
    for (let i = 0; i < 3; i++) guests.push(await Guest.from('127.0.0.9', full));
    for (const guest of guests) assert.equal(await guest.ask(), 200);
    await full.stop();
    for (const guest of guests) await within(guest.ended, 'the end');
  });

  test('over the total are answered 503', async (t) => {
    const small = await Server.during(t, { args: ['--max-connections', '3'] });
    const guests = [];
    for (let i = 0; i < 3; i++) guests.push(await Guest.from(`127.0.0.${10 + i}`, small));
    for (const guest of guests) assert.equal(await guest.ask(), 200);
    const fourth = await Guest.from('127.0.0.20', small);
    await fourth.ended;
    assert.match(fourth.text, /^HTTP\/1\.1 503 .*"SERVICE_UNAVAILABLE"/s);
    const { body } = await guests[1].get('/metrics'); // whoever is in, stays
    assert.match(body, /\nreelay_limited_total\{limit="max_connections"\} 1\n/);
    for (const guest of guests) guest.leave();
    await waitFor(() => small.get('/health').then((answer) => answer.status === 200), 'a place');
  });

  test('a range that is none is refused at the start', async () => {
    const { status, stderr } = await reelay(['serve', '--trusted-proxy', '10.0.0.0/99', '--data-dir', '/nonexistent']);
    assert.equal(status, 1);
    assert.match(stderr, /--trusted-proxy: "10\.0\.0\.0\/99" is neither an address nor a range/);
  });
});

// A server with these limits, and somebody on it who feels nothing of what others do.
function withBystander(...args) {
  const world = {
    async isUnharmed() {
      await world.bystander.settle();
      assert.equal(world.bystander.close, null);
    },
  };

  before(async () => {
    world.server = await Server.start({ args: [...args, '--threads', '2'] });
    world.bystander = await world.server.watchDownload('bystander');
  });
  after(() => world.server.end());
  return world;
}

describe('what one connection may do', () => {
  const world = withBystander('--max-messages', '5', '--max-subscriptions', '10', '--max-message', '1KiB');
  const { isUnharmed } = world;
  let server;
  before(() => (server = world.server));

  // 4 seconds' worth, and one for each subscription.
  const BURST = 4 * 5 + 10;

  for (const door of ['/ws/download/a', '/ws/jobs/a', '/ws/progress', '/file-processing']) {
    test(`too many messages at ${door}: 1008`, async () => {
      await meets(server, once('max_messages'), async (old) => {
        const watcher = await server.watch(door);
        for (let i = 0; i < BURST; i++) watcher.send('ping');
        await watcher.settle().catch(() => {}); // its Ping is one too many, or nearly
        for (let i = 0; i < BURST; i++) watcher.send('ping');
        assert.deepEqual(await within(watcher.closed, 'the Close'), { code: 1008, reason: 'too many messages' });
        const now = await metrics(server);
        const key = 'reelay_websocket_server_closes_total{code="1008"}';
        assert.equal(now.get(key), old.get(key) + 1);
      });
      await isUnharmed();
    });
  }

  test('as many messages as the burst are answered, every one', async () => {
    await meets(server, {}, async () => {
      const watcher = await server.watchDownload('burst');
      for (let i = 0; i < BURST; i++) watcher.send('ping');
      await waitFor(() => watcher.messages.filter((message) => message.type === 'pong').length === BURST, 'every pong');
      await watcher.leave();
    });
  });

  test('a flood of Pings is closed with 1008 and answered no further', async () => {
    await meets(server, once('max_messages'), async () => {
      const peer = await Peer.open(server.port, { path: '/ws/download/a' });
      await peer.wire.send(Buffer.concat(Array(500).fill(frame(OP.ping, 'x'))));
      let pongs = 0;
      let got;
      while ((got = await peer.next()).op === OP.pong) pongs++;
      assert.equal(got.op, OP.close);
      assert.equal(got.payload.readUInt16BE(0), 1008);
      assert.ok(pongs >= BURST && pongs < BURST + 10, `${pongs}`);
      peer.close();
    });
    await isUnharmed();
  });

  const subscribe = (i) => ({ event: 'subscribe:file', data: { fileId: `file-${i}` } });

  test('too many subscriptions at /file-processing: 1008; the last that fits is one that hears', async () => {
    await meets(server, once('max_subscriptions'), async () => {
      const watcher = await server.watch('/file-processing');
      for (let i = 0; i < 10; i++) watcher.send(subscribe(i));
      watcher.send(subscribe(9)); // again, so not one more
      await waitFor(() => watcher.messages.filter(({ event }) => event === 'subscribed').length === 11, 'every answer');
      await server.report('file-9', { stage: 'a', progress: 0.5, message: 'half' });
      await watcher.until(({ event, data }) => event === 'processing:progress' && data.fileId === 'file-9');
      watcher.send({ event: 'unsubscribe:file', data: { fileId: 'file-0' } });
      watcher.send(subscribe(10)); // in its place
      await watcher.until(({ event, data }) => event === 'subscribed' && data.fileId === 'file-10');
      watcher.send(subscribe(11));
      assert.deepEqual(await within(watcher.closed, 'the Close'), { code: 1008, reason: 'too many subscriptions' });
    });
    await isUnharmed();
  });

  test('too many subscriptions by Socket.IO are refused in words, and the rest is heard', async (t) => {
    await meets(server, once('max_subscriptions'), async () => {
      const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
      for (let i = 0; i < 10; i++) await gateway.subscribe(`io-${i}`);
      assert.match(JSON.stringify(await gateway.subscribe('io-10')), /Too many files/);
      await server.report('io-10', { stage: 'a', progress: 0.5, message: '' });
      await server.report('io-9', { stage: 'a', progress: 0.5, message: '' });
      await gateway.until('processing:progress', ({ fileId }) => fileId === 'io-9');
      assert.deepEqual(gateway.named('processing:progress').map(({ fileId }) => fileId), ['io-9']);
      gateway.leave();
    });
    await isUnharmed();
  });

  test('too many packets of Socket.IO end its connection: 1008, 429', async () => {
    const target = '/socket.io/?EIO=4&transport=';
    await meets(server, once('max_messages'), async () => {
      const watcher = await server.watch(`${target}websocket`);
      watcher.send('40/file-processing,');
      for (let i = 0; i < 2 * BURST; i++) watcher.send('42/file-processing,["x"]');
      assert.equal((await within(watcher.closed, 'the Close')).code, 1008);
    });
    await meets(server, once('max_messages'), async () => {
      const { sid } = JSON.parse((await server.get(`${target}polling`)).text.slice(1));
      const post = (body) => server.request(`${target}polling&sid=${sid}`, { method: 'POST', body });
      assert.equal((await post('40/file-processing,')).status, 200);
      const many = Array(BURST + 8).fill('42/file-processing,["x"]').join('\x1e');
      let status;
      do ({ status } = await post(many)); while (status === 200);
      assert.equal(status, 429);
      assert.equal((await server.get(`${target}polling&sid=${sid}`)).status, 400);
    });
    await isUnharmed();
  });

  test('a message that is too big: 1009; one that just fits is read', async () => {
    await meets(server, once('max_message'), async () => {
      const watcher = await server.watchDownload('a');
      watcher.send('x'.repeat(1024));
      watcher.send('ping');
      await watcher.until((message) => message.type === 'pong');
      watcher.send('x'.repeat(1025));
      assert.deepEqual(await within(watcher.closed, 'the Close'), { code: 1009, reason: 'message too big' });
    });
    await isUnharmed();
  });

  test('heads and bodies that are too big are counted', async () => {
    await meets(server, { head_size: 1, body_size: 1 }, async () => {
      const big = await server.request('/health', { headers: { 'x-big': 'x'.repeat(14000), 'x-more': 'y'.repeat(3000) } });
      assert.equal(big.status, 431);
      const body = await server.request('/jobs/create', { method: 'POST', body: 'x'.repeat(70000) });
      assert.equal(body.status, 413);
    });
  });
});

describe('how long one connection may take', () => {
  const world = withBystander('--handshake-timeout', '2s', '--body-timeout', '2s', '--write-timeout', '2s',
    '--idle-timeout', '2s', '--ws-timeout', '4s');
  const { isUnharmed } = world;
  let server;
  before(() => (server = world.server));

  test('a head that drips in is answered 408 when its time is over', { timeout: 60_000 }, async (t) => {
    await meets(server, once('handshake_timeout'), async () => {
      const began = Date.now();
      const wire = await Wire.open(server.port);
      const head = `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ${'x'.repeat(1000)}`;
      let at = 0;
      wire.socket.write(head[at++]);
      const drip = setInterval(() => wire.socket.write(head[at++]), 1000);
      t.after(() => clearInterval(drip));
      assert.equal(await wire.untilEnd(), 'fin');
      clearInterval(drip);
      assert.match(wire.bytes.toString(), /^HTTP\/1\.1 408 /);
      assert.ok(Date.now() - began > 1900, `${Date.now() - began} ms`);
      wire.close();
    });
    await isUnharmed();
  });

  test('who says nothing at all is cut off without a word', async () => {
    await meets(server, once('handshake_timeout'), async () => {
      const wire = await Wire.open(server.port);
      assert.equal(await wire.untilEnd(), 'fin');
      assert.equal(wire.bytes.length, 0);
      wire.close();
    });
  });

  test('a body that stops coming: 408', async () => {
    await meets(server, once('body_timeout'), async () => {
      const wire = await Wire.open(server.port);
      await wire.send('POST /jobs/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"title"');
      assert.equal(await wire.untilEnd(), 'fin');
      assert.match(wire.bytes.toString(), /^HTTP\/1\.1 408 /);
      wire.close();
    });
    await isUnharmed();
  });

  test('who asks for much and reads nothing is cut off', { timeout: 60_000 }, async () => {
    const assets = (await server.get('/')).text.match(/(?:src|href)="([^"]+\.js)"/g).map((one) => /"(.+)"/.exec(one)[1]);
    await meets(server, once('write_timeout'), async () => {
      const wire = await Wire.open(server.port);
      wire.socket.pause();
      const ask = `GET /${assets[0].replace(/^\.?\//, '')} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
      await wire.send(ask.repeat(5000));
      await untilMetric(server, 'reelay_limited_total{limit="write_timeout"}', 1);
      wire.close();
    });
    await isUnharmed();
  });

  test('a kept connection without a request is closed', async () => {
    await meets(server, once('idle_timeout'), async () => {
      const wire = await Wire.open(server.port);
      await wire.send(get('/health'));
      assert.equal(await wire.untilEnd(), 'fin');
      assert.match(wire.bytes.toString(), /^HTTP\/1\.1 200 /);
      wire.close();
    });
    await isUnharmed();
  });

  test('a WebSocket that answers no Ping is cut off; one that does lives on', { timeout: 60_000 }, async () => {
    await meets(server, once('ws_timeout'), async (old) => {
      const began = Date.now();
      const peer = await Peer.open(server.port, { path: '/ws/download/a' });
      assert.equal((await peer.next()).op, OP.ping);
      await peer.wire.untilEnd();
      assert.ok(Date.now() - began > 3500, `${Date.now() - began} ms`);
      const now = await metrics(server);
      assert.equal(now.get('reelay_websocket_lost_total'), old.get('reelay_websocket_lost_total') + 1);
    });
    await isUnharmed();
  });
});

test('answers that nobody reads: 1008', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { args: ['--max-messages', '0'] });
  await meets(server, once('replies'), async () => {
    const peer = await Peer.open(server.port, { path: '/ws/download/a' });
    peer.wire.socket.pause();
    const questions = Buffer.concat(Array(20_000).fill(frame(OP.text, 'ping')));
    while ((await metrics(server)).get('reelay_limited_total{limit="replies"}') === 0) {
      await new Promise((resolve) => peer.wire.socket.write(questions, resolve));
    }
    peer.close();
  });
});

test('a page in several tabs feels no limit', { timeout: 180_000 }, async (t) => {
  // A stranger's defaults, for this machine too.
  const server = await Server.during(t, { args: ['--max-connections-per-address', '1000'] });
  const browser = await launch();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const tabs = [];
  for (let i = 0; i < 5; i++) {
    const page = await context.newPage();
    page.broke = [];
    page.on('pageerror', (error) => page.broke.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && page.broke.push(message.text()));
    await page.goto(server.origin);
    tabs.push(page);
  }
  for (const [i, page] of tabs.entries()) {
    await page.setInputFiles('input[type=file]', await clip({ seconds: 2, rate: 20 + i }));
  }
  await waitFor(async () => (await metrics(server)).get('reelay_jobs_ended_total{state="completed"}') === 5, 'five videos', { timeout: 150_000, every: 200 });
  for (const page of tabs) {
    await page.reload();
    assert.deepEqual(page.broke, []);
  }
  const now = await metrics(server);
  assert.deepEqual(limited(new Map([...now.keys()].map((key) => [key, 0])), now), {});
  assert.equal(now.get('reelay_http_answers_total{code="5xx"}'), 0);
  assert.equal(now.get('reelay_websocket_server_closes_total{code="1008"}'), 0);
});
