// The file processing gateway over Socket.IO: its events, who may hear them, and
// that nobody who lost the connection loses a file.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { metrics } from '../support/metrics.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { Gateway, TRANSPORTS } from '../support/socketio.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor, within } from '../support/wait.mjs';

const FILES_MAX = 1000;

describe('the gateway', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  for (const transports of TRANSPORTS) {
    const name = transports.join(', then ');

    test(`tells a file's whole life over ${name}`, async (t) => {
      const id = `life-${transports.join('-')}`;
      const gateway = await Gateway.during(t, server, { transports });
      assert.deepEqual(await gateway.subscribe(id), { fileId: id });
      assert.deepEqual(gateway.events, [['subscribed', { fileId: id }]], 'nothing else of a file nobody knows');
      // Each is heard before the next is said: between two polls a client may miss steps.
      const hears = (percent) => gateway.until('processing:progress', ({ progress }) => progress === percent);
      await server.tell(id, { stage: 'a', progress: 0.2, message: 'Extracting metadata...', metadata: { width: 640 } });
      await hears(20);
      await server.tell(id, { stage: 'b', progress: 0.7, message: 'Scaling' });
      await hears(70);
      await server.tell(id, { status: 'completed', result: { duration: 1.5 }, message: 'Done' });
      await gateway.until('processing:completed');
      const [subscribed, started, first, second, last, completed] = gateway.events;
      assert.equal(gateway.events.length, 6);
      assert.equal(subscribed[0], 'subscribed');
      const { timestamp } = started[1];
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.deepEqual(started, ['processing:started', { fileId: id, metadata: { width: 640 }, timestamp }]);
      assert.deepEqual(first, ['processing:progress', { fileId: id, progress: 20, status: 'processing',
        message: 'Extracting metadata...', metadata: { width: 640 }, timestamp }]);
      assert.equal(second[1].progress, 70);
      assert.deepEqual({ ...last[1], timestamp: 0, metadata: 0 },
        { fileId: id, progress: 100, status: 'completed', message: 'Done', metadata: 0, timestamp: 0 });
      assert.deepEqual({ ...completed[1], timestamp: 0 }, { fileId: id, result: { duration: 1.5 }, timestamp: 0 });
    });

    test(`begins with the start and ends with the end, however fast it goes, over ${name}`, async (t) => {
      const gateway = await Gateway.during(t, server, { transports });
      const files = Array.from({ length: 8 }, (_, i) => `fast-${transports.join('-')}-${i}`);
      await Promise.all(files.map((file) => gateway.subscribe(file)));
      await Promise.all(files.map(async (file) => {
        for (let i = 1; i < 10; i++) await server.report(file, { stage: 'a', progress: i / 10, message: 'x' });
        await server.report(file, { status: 'completed', result: {} });
      }));
      for (const file of files) {
        await gateway.until('processing:completed', ({ fileId }) => fileId === file, `the end of ${file}`);
        const life = gateway.life(file);
        assert.deepEqual([life[0], ...life.slice(-2)], ['started', '100 completed', 'completed'], String(life));
      }
    });

    test(`carries ${FILES_MAX} files on one socket over ${name}, and not one more`, { timeout: 120_000 }, async (t) => {
      const gateway = await Gateway.during(t, server, { transports });
      const files = Array.from({ length: FILES_MAX }, (_, i) => `many-${transports.join('-')}-${i}`);
      const acks = await Promise.all(files.map((file) => gateway.subscribe(file)));
      assert.deepEqual(acks, files.map((fileId) => ({ fileId })));
      assert.deepEqual(gateway.named('subscribed'), acks);
      const over = await gateway.subscribe('one-too-many');
      assert.equal(over.status, 'error');
      assert.deepEqual(gateway.named('exception'), [over]);
      assert.equal((await gateway.subscribe(files[7])).fileId, files[7], 'again is no further one');
      for (const file of [files[0], files[499], files[999]]) {
        await server.tell(file, { status: 'completed', result: {} });
        await gateway.until('processing:completed', ({ fileId }) => fileId === file, `the end of ${file}`);
      }
    });
  }

  test('follows a video that is converted here', async (t) => {
    const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 3 }) });
    const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
    await gateway.subscribe(String(upload.id));
    await upload.putAll();
    await upload.assemble();
    const { result } = await gateway.until('processing:completed');
    assert.ok(result.hls_path.length > 0 && result.duration > 2, JSON.stringify(result));
    const percents = gateway.named('processing:progress').map(({ progress }) => progress);
    assert.deepEqual(percents, [...percents].sort((a, b) => a - b));
    assert.equal(percents.at(-1), 100);
    assert.equal(gateway.named('processing:started').length, 1);
    assert.equal(gateway.life(String(upload.id))[0], 'started');
  });

  test('shows late subscribers the present, and a finished file its end', async (t) => {
    const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
    await server.tell('late', { stage: 'a', progress: 0.1, message: 'x' });
    await server.tell('late', { stage: 'a', progress: 0.4, message: 'x' });
    await gateway.subscribe('late');
    await gateway.until('processing:progress');
    assert.deepEqual(gateway.life('late'), ['40 processing']);
    await server.tell('broken', { status: 'failed', error: 'Out of memory', stage: 'a' });
    await gateway.subscribe('broken');
    assert.equal((await gateway.until('processing:failed')).error, 'Out of memory');
    assert.deepEqual(gateway.life('broken'), ['failed']);
    await server.tell('whole', { status: 'completed', result: { a: 1 } });
    await gateway.subscribe('whole');
    assert.deepEqual((await gateway.until('processing:completed')).result, { a: 1 });
    assert.deepEqual(gateway.life('whole'), ['100 completed', 'completed']);
  });

  test('is silent about a file that was unsubscribed', async (t) => {
    const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
    await gateway.subscribe('left');
    await server.tell('left', { stage: 'a', progress: 0.1, message: 'x' });
    await gateway.until('processing:progress');
    assert.deepEqual(await gateway.ask('unsubscribe:file', { fileId: 'left' }), { fileId: 'left' });
    assert.deepEqual(gateway.named('unsubscribed'), [{ fileId: 'left' }]);
    await server.tell('left', { stage: 'a', progress: 0.2, message: 'x' });
    await gateway.settle();
    assert.equal(gateway.named('processing:progress').length, 1);
  });

  test('answers what it cannot do, and lets nobody wait for an acknowledgement', async (t) => {
    const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
    const bad = [undefined, null, 'a-file', 7, [], {}, { fileId: null }, { fileId: '' }, { fileId: {} },
      { fileId: '../etc' }, { fileId: 'x'.repeat(200) }];
    for (const payload of bad) {
      const answer = await gateway.ask('subscribe:file', ...(payload === undefined ? [] : [payload]));
      assert.equal(answer.status, 'error', JSON.stringify(payload));
      assert.ok(answer.message.length > 0);
    }
    assert.equal(gateway.named('exception').length, bad.length);
    const unknown = await gateway.ask('hello', { fileId: 'a' });
    assert.equal(unknown.status, 'error');
    assert.equal(gateway.named('exception').length, bad.length, 'an unknown event is nobody\'s exception');
    assert.deepEqual(await gateway.subscribe(123), { fileId: '123' });
    await server.tell('123', { stage: 'a', progress: 0.1, message: 'x' });
    assert.equal((await gateway.until('processing:progress')).fileId, '123');
  });

  test('refuses namespaces that are not there, and hears nothing in the main one', async (t) => {
    const lost = new Gateway(server, { namespace: '/admin' });
    t.after(() => lost.leave());
    await waitFor(() => lost.errors.length > 0, 'the refusal');
    assert.equal(lost.errors[0].message, 'Invalid namespace');
    const main = await Gateway.during(t, server, { namespace: '/' });
    const answer = await main.subscribe('a');
    assert.equal(answer.status, 'error');
    assert.match(answer.message, /\/file-processing/);
    assert.deepEqual(main.events, []);
  });

  test('carries several namespaces on one connection', async (t) => {
    const main = await Gateway.during(t, server, { namespace: '/', transports: ['websocket'] });
    const files = main.socket.io.socket('/file-processing');
    t.after(() => files.disconnect());
    await waitFor(() => files.connected, 'the second namespace');
    const ack = await files.timeout(20_000).emitWithAck('subscribe:file', { fileId: 'shared' });
    assert.deepEqual(ack, { fileId: 'shared' });
    files.disconnect();
    assert.equal((await main.subscribe('a')).status, 'error', 'the other one goes on');
    files.connect();
    await waitFor(() => files.connected, 'the second namespace again');
    assert.equal(files.recovered, false, 'who left of its own will begins anew');
  });

  test('ends the connection of who speaks nonsense', async (t) => {
    for (const nonsense of ['4abc', '42["first"]', '44{"message":"no"}', '40[]', '451-["a",{"_placeholder":true,"num":1}]']) {
      const raw = await server.watch('/socket.io/?EIO=4&transport=websocket');
      t.after(() => raw.drop());
      raw.send(nonsense);
      await within(raw.closed, `the end after ${nonsense}`);
    }
    const gateway = await Gateway.during(t, server, { transports: ['websocket'] });
    assert.equal((await gateway.ask('subscribe:file', Buffer.from([1, 2, 3]))).status, 'error', 'bytes are only a bad payload');
  });

  test('takes a sid that is empty for none', async (t) => {
    const target = '/socket.io/?EIO=4&transport=polling&sid=';
    const open = await server.get(target);
    const { sid } = JSON.parse(open.text.slice(1));
    assert.equal((await server.request(target + sid, { method: 'POST', body: '40/file-processing,' })).text, 'ok');
    assert.match((await server.get(target + sid)).text, /^40\/file-processing,\{"sid":/);
  });

  test('loses no step and goes none back while the transport is upgraded', async (t) => {
    const gateway = new Gateway(server, { transports: ['polling', 'websocket'] });
    t.after(() => gateway.leave());
    gateway.socket.emit('subscribe:file', { fileId: 'upgraded' });
    await gateway.until('subscribed');
    for (let i = 1; i <= 60; i++) await server.report('upgraded', { stage: 'a', progress: i / 100, message: 'x' });
    await waitFor(() => gateway.engine.transport.name === 'websocket', 'the upgrade');
    await server.tell('upgraded', { status: 'completed', result: {} });
    await gateway.until('processing:completed');
    const percents = gateway.named('processing:progress').map(({ progress }) => progress);
    assert.deepEqual(percents, [...percents].sort((a, b) => a - b));
    assert.equal(percents.at(-1), 100);
  });

  test('lets configured origins in with credentials, and no others', async (t) => {
    const own = await Server.during(t, { env: { WEBSOCKET_CORS_ORIGIN: 'http://localhost:3000,https://yourdomain.com' } });
    const ask = (origin) => own.request('/socket.io/?EIO=4&transport=polling', { headers: { origin } });
    const good = await ask('https://yourdomain.com');
    assert.equal(good.headers['access-control-allow-origin'], 'https://yourdomain.com');
    assert.equal(good.headers['access-control-allow-credentials'], 'true');
    assert.equal((await ask('https://elsewhere.example')).headers['access-control-allow-origin'], undefined);
  });
});

describe('who may hear', () => {
  let server;

  before(async () => (server = await Server.start({ env: withSecret })));
  after(() => server.end());

  const refusal = async (t, options) => {
    const gateway = new Gateway(server, { reconnection: false, ...options });
    t.after(() => gateway.leave());
    await waitFor(() => gateway.errors.length > 0, 'the refusal');
    return gateway.errors[0];
  };

  test('nobody without a token, or with a bad one', async (t) => {
    for (const options of [{}, { auth: { token: 'jwt-token' } }, { auth: { token: mint({}, { key: 'x'.repeat(64) }) } },
      { query: { token: 'jwt-token' } }, { auth: { token: 7 } }]) {
      for (const transports of [['websocket'], ['polling']]) {
        const error = await refusal(t, { transports, ...options });
        assert.equal(error.message, 'unauthorized');
        assert.equal(error.data.code, 'token_required');
        assert.match(error.data.message, /token/);
      }
    }
  });

  test('whoever shows one, in any of the ways clients have', async (t) => {
    const token = mint({ sub: 'alice' });
    for (const options of [{ auth: { token } }, { auth: { token: `Bearer ${token}` } }, { query: { token } },
      { extraHeaders: { authorization: `Bearer ${token}` } }, { auth: (give) => give({ token }) }]) {
      for (const transports of TRANSPORTS) await Gateway.during(t, server, { transports, ...options });
    }
    const error = await refusal(t, { auth: { token: 'bad' }, query: { token } });
    assert.equal(error.message, 'unauthorized', 'the one in auth counts');
  });

  test('each only its own files', async (t) => {
    const [alice, mallory] = [mint({ sub: 'alice' }), mint({ sub: 'mallory' })];
    const tokens = { alice, mallory, root: mint({ sub: 'root', scope: 'admin' }) };
    const gateways = {};
    await server.post('/jobs/create', { job_id: 'mine' }, alice);
    for (const [name, token] of Object.entries(tokens)) {
      gateways[name] = await Gateway.during(t, server, { auth: { token } });
      await gateways[name].subscribe('mine');
    }
    await server.tell('mine', { stage: 'a', progress: 0.1, message: 'x' }, alice);
    await server.tell('mine', { status: 'completed', result: {} }, alice);
    await gateways.alice.until('processing:completed');
    await gateways.root.until('processing:completed');
    await gateways.mallory.settle();
    assert.deepEqual(gateways.mallory.life('mine'), []);
  });
});

describe('a lost connection', () => {
  for (const transports of TRANSPORTS) {
    test(`comes back to its files by itself over ${transports.join(', then ')}`, async (t) => {
      const server = await Server.during(t);
      const gateway = await Gateway.during(t, server, { transports });
      const { id } = gateway.socket;
      assert.equal(gateway.socket.recovered, false);
      for (const file of ['one', 'two', 'three']) await gateway.subscribe(file);
      await gateway.ask('unsubscribe:file', { fileId: 'two' });
      for (const progress of [0.2, 0.3])
        for (const file of ['one', 'two']) await server.tell(file, { stage: 'a', progress, message: 'x' });
      await gateway.until('processing:progress', ({ progress }) => progress === 30);
      gateway.events.length = 0;
      await gateway.lose();
      assert.equal(gateway.socket.recovered, true);
      assert.equal(gateway.socket.id, id);
      await gateway.until('processing:progress');
      await server.tell('three', { stage: 'a', progress: 0.5, message: 'x' });
      await gateway.until('processing:progress', ({ fileId }) => fileId === 'three');
      await gateway.settle();
      assert.deepEqual(gateway.life('one'), ['30 processing']);
      assert.deepEqual(gateway.life('two'), []);
      assert.equal(gateway.named('subscribed').length, 0);
    });

    for (const how of ['kill -9', 'an orderly end']) {
      test(`outlives ${how} of the server over ${transports.join(', then ')}`, async (t) => {
        const server = await Server.during(t);
        const gateway = await Gateway.during(t, server, { transports });
        await server.tell('kept', { stage: 'a', progress: 0.3, message: 'x' });
        await gateway.subscribe('kept');
        await gateway.subscribe('left');
        await gateway.ask('unsubscribe:file', { fileId: 'left' });
        await gateway.until('processing:progress');
        const { id } = gateway.socket;
        // A report is answered when the store has it, and what was queued before it.
        await server.report('other', { stage: 'a', progress: 0.1, message: 'x' });
        for (let i = 4; i <= 8; i += 2) {
          await (how === 'kill -9' ? server.kill() : server.stop());
          await server.start();
          await server.tell('kept', { stage: 'a', progress: i / 10, message: 'x' });
          await server.tell('left', { stage: 'a', progress: i / 10, message: 'x' });
          await gateway.until('processing:progress', ({ progress }) => progress === 10 * i, `${10 * i} percent`);
          assert.equal(gateway.socket.recovered, true);
          assert.equal(gateway.socket.id, id);
        }
        await server.tell('kept', { status: 'completed', result: {} });
        await gateway.until('processing:completed');
        const percents = gateway.named('processing:progress').map(({ progress }) => progress);
        assert.deepEqual(percents, [...percents].sort((a, b) => a - b), 'nothing older after something newer');
        assert.deepEqual(gateway.life('left'), []);
        assert.equal(gateway.named('subscribed').length, 2, 'it asked once');
      });
    }
  }

  test('is not given to who left, nor to somebody else', async (t) => {
    const server = await Server.during(t, { env: withSecret });
    const gateway = await Gateway.during(t, server, { auth: { token: mint({ sub: 'alice' }) } });
    await gateway.subscribe('hers');
    const pid = gateway.socket._pid;
    assert.ok(pid.length >= 22);
    const take = async (sub) => {
      const other = await Gateway.during(t, server, { transports: ['websocket'], auth: { token: mint({ sub }), pid, offset: 'x' } });
      const given = other.socket._pid === pid;
      await other.settle();
      lose(other);
      return given;
    };
    // Whoever comes last has it, so each comes when it is told to.
    const lose = ({ socket, engine }) => (socket.io.reconnection(false), engine.close());
    const admin = mint({ sub: 'root', scope: 'admin' });
    assert.equal(await take('mallory'), false);
    lose(gateway);
    assert.equal(await take('alice'), true, 'the same person, on another connection');
    gateway.socket.connect();
    await waitFor(() => gateway.socket.connected, 'the connection to come back');
    assert.equal(gateway.socket._pid, pid);
    gateway.socket.disconnect();
    await waitFor(async () => (await metrics(server, admin)).get('reelay_sessions{dialect="socketio"}') === 0, 'all to be gone');
    assert.equal(await take('alice'), false);
    gateway.socket.connect();
    await waitFor(() => gateway.socket.connected, 'a new connection');
    assert.equal(gateway.socket.recovered, false);
  });

  test('on another node fails at once, and the client begins anew', async (t) => {
    const server = await Server.during(t);
    const answer = await server.request('/socket.io/?EIO=4&transport=polling&sid=Axxxxxxxxxxxxxxxxxxxx');
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.json, { code: 1, message: 'Session ID unknown' });
  });
});

describe('other clients', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  const script = `
import sys, socketio
origin, transports = sys.argv[1], sys.argv[2].split(',')
client = socketio.Client(reconnection=False)
NS = '/file-processing'
def show_line(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\\n')
def show(name):
    def handler(*args):
        show_line(name, args)
        if name == 'processing:completed':
            client.disconnect()
    return handler
for name in ['subscribed', 'processing:started', 'processing:progress', 'processing:completed']:
    client.on(name, show(name), namespace=NS)
client.connect(origin, namespaces=[NS], transports=transports)
show_line('ack', client.call('subscribe:file', {'fileId': 'python-' + sys.argv[2]}, namespace=NS))
client.wait()
show_line('over')
`;

  for (const transports of ['websocket', 'polling', 'polling,websocket']) {
    test(`python-socketio follows a file over ${transports}`, async (t) => {
      const id = `python-${transports}`;
      const python = spawn('/usr/bin/python3', ['-u', '-c', script, server.origin, transports]);
      t.after(() => python.kill('SIGKILL'));
      let screen = '';
      python.stdout.on('data', (data) => (screen += data));
      python.stderr.on('data', (data) => (screen += data));
      const ended = new Promise((resolve) => python.on('close', resolve));
      await waitFor(() => {
        assert.equal(python.exitCode, null, screen);
        return screen.includes('ack {');
      }, 'the acknowledgement');
      assert.match(screen, new RegExp(`^ack \\{'fileId': '${id}'\\}$`, 'm'));
      await server.tell(id, { stage: 'a', progress: 0.1, message: 'x' });
      await server.tell(id, { status: 'completed', result: { a: 1 } });
      assert.equal(await within(ended, 'the end of the Python client'), 0, screen);
      assert.match(screen, /^processing:completed .*'result': \{'a': 1\}/m);
      assert.match(screen, /^over$/m);
    });
  }
});

describe('clients of Socket.IO 2', () => {
  const io2 = require('socket.io-client-2');
  const open = (t, server, options) => {
    const socket = io2(`${server.origin}/file-processing`, { forceNew: true, reconnectionDelay: 20, ...options });
    t.after(() => socket.close());
    socket.heard = [];
    const { onevent } = socket;
    socket.onevent = function (packet) {
      socket.heard.push(packet.data);
      onevent.call(this, packet);
    };
    return socket;
  };

  for (const transports of TRANSPORTS) {
    test(`follow a file over ${transports.join(', then ')}`, async (t) => {
      const server = await Server.during(t);
      const socket = open(t, server, { transports });
      await waitFor(() => socket.connected, 'the connection');
      const ack = await within(new Promise((resolve) => socket.emit('subscribe:file', { fileId: 'v2' }, resolve)), 'the ack');
      assert.deepEqual(ack, { fileId: 'v2' });
      await server.tell('v2', { stage: 'a', progress: 0.2, message: 'x' });
      await waitFor(() => socket.heard.some(([event]) => event === 'processing:progress'), 'the first progress');
      await server.tell('v2', { status: 'completed', result: { a: 1 } });
      await waitFor(() => socket.heard.some(([event]) => event === 'processing:completed'), 'the end');
      assert.deepEqual(socket.heard.map(([event]) => event),
        ['subscribed', 'processing:started', 'processing:progress', 'processing:progress', 'processing:completed']);
    });
  }

  test('show their token in the query, or are refused', async (t) => {
    const server = await Server.during(t, { env: withSecret });
    for (const name of ['a', 'b'.repeat(500)]) {
      const welcome = open(t, server, { query: { token: mint({ name }) } });
      await waitFor(() => welcome.connected, 'the connection');
    }
    const manager = new io2.Manager(server.origin);
    const files = manager.socket('/file-processing', { query: { token: mint({}) } });
    t.after(() => files.close());
    await waitFor(() => files.connected, 'the namespace that alone has it');
    const refused = open(t, server, { transports: ['websocket'], reconnection: false });
    const error = await within(new Promise((resolve) => refused.on('error', resolve)), 'the refusal');
    assert.equal(error, 'unauthorized');
  });
});

describe('without Socket.IO', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  const subscribe = (fileId) => ({ event: 'subscribe:file', data: { fileId } });

  test('the same events go over a bare WebSocket', async () => {
    const watcher = await server.watch('/file-processing');
    watcher.send(subscribe('plain'));
    await watcher.until(({ event }) => event === 'subscribed');
    await server.tell('plain', { stage: 'a', progress: 0.2, message: 'Extracting metadata...' });
    const { data } = await watcher.until(({ event }) => event === 'processing:progress');
    assert.deepEqual({ ...data, timestamp: 0 },
      { fileId: 'plain', progress: 20, status: 'processing', message: 'Extracting metadata...', timestamp: 0 });
    watcher.send({ event: 'unsubscribe:file', data: { fileId: 'plain' } });
    await watcher.until(({ event }) => event === 'unsubscribed');
    await server.tell('plain', { status: 'completed', result: {} });
    await watcher.settle();
    assert.equal(watcher.last.event, 'unsubscribed');
    watcher.send('ping');
    watcher.send({ event: 'hello' });
    watcher.send(subscribe(''));
    await watcher.until(({ event }) => event === 'exception');
    assert.equal(watcher.last.data.status, 'error');
    assert.deepEqual(watcher.messages.map(({ event }) => event),
      ['subscribed', 'processing:started', 'processing:progress', 'unsubscribed', 'exception']);
    await watcher.leave();
  });

  test('a file that only the store remembers is found', async (t) => {
    const own = await Server.during(t);
    await own.tell('old', { status: 'completed', result: { a: 1 } });
    await own.stop();
    await own.start();
    const watcher = await own.watch('/file-processing');
    watcher.send(subscribe('old'));
    const { data } = await watcher.until(({ event }) => event === 'processing:completed');
    assert.deepEqual(data.result, { a: 1 });
    await watcher.leave();
    const gateway = await Gateway.during(t, own);
    await gateway.subscribe('old');
    await gateway.until('processing:completed');
  });

  test('the token is asked for like at the other doors', async (t) => {
    const own = await Server.during(t, { env: withSecret });
    const refused = await own.watch('/file-processing');
    assert.equal((await within(refused.closed, 'the Close')).code, 4001);
    const welcome = await own.watch(`/file-processing?token=${mint({})}`);
    welcome.send(subscribe('x'));
    await welcome.until(({ event }) => event === 'subscribed');
    await welcome.leave();
  });
});
