// What a server owes to anybody: it stays up, it answers, it says no politely.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

describe('strangers', () => {
  let server;

  before(async () => (server = await Server.start()));
  after(() => server.end());

  // Bytes in, everything that comes back until the end.
  const say = (bytes, { end = false } = {}) =>
    within(
      new Promise((resolve, reject) => {
        const socket = net.connect(server.port, '127.0.0.1', () => {
          socket.write(bytes);
          if (end) socket.end();
        });
        let text = '';
        socket.on('data', (data) => (text += data.toString('latin1')));
        socket.on('error', reject);
        socket.on('close', () => resolve(text));
      }),
      'the end of the connection',
    );

  const wrong = [
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['a length beside chunks', 'POST /jobs/create HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['two lengths', 'POST /jobs/create HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n', 400],
    ['a space before a colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n', 400],
    ['an endless header', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431],
    ['another protocol version', 'GET / HTTP/9.9\r\nHost: a\r\n\r\n', [400, 505]],
    ['an unknown method', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n', [400, 405, 501]],
  ];
  for (const [what, bytes, expected] of wrong) {
    test(`${what}: refused, and the connection is closed`, async () => {
      const answer = await say(bytes);
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
      assert.ok([expected].flat().includes(status), answer.slice(0, 200));
    });
  }

  test('requests that come in one go are answered in order', async () => {
    const one = (path, close) => `GET ${path} HTTP/1.1\r\nHost: ${server.host}\r\n${close ? 'Connection: close\r\n' : ''}\r\n`;
    const answer = await say(one('/health') + one('/api/jobs/nobody') + one('/health', true));
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));
    assert.deepEqual(statuses, [200, 404, 200]);
  });

  test('WebSocket frames that break the protocol close the connection with the right code', async () => {
    const rows = [
      ['unmasked', Buffer.from([0x81, 0x02, 0x68, 0x69]), 1002],
      ['a reserved bit', Buffer.from([0xc1 | 0x20, 0x80, 0, 0, 0, 0]), 1002],
      ['not UTF-8', Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]), 1007],
      ['too long', Buffer.from([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 1009],
      ['a Close of one byte', Buffer.from([0x88, 0x81, 0, 0, 0, 0, 0x03]), 1002],
    ];
    for (const [what, frame, code] of rows) {
      const watcher = await server.watchJob('x');
      watcher.socket._socket.write(frame);
      assert.equal((await within(watcher.closed, 'the Close')).code, code, what);
    }
  });

  test('a client that floods with pings is cut off or answered, and others do not notice', async () => {
    const rude = await server.watchAll();
    const polite = await server.watchAll();
    rude.socket.pause();
    for (let at = 0; at < 100_000 && rude.socket.readyState === 1; at++) rude.socket.send('ping');
    polite.send('ping');
    await polite.until((message) => message === 'pong');
    rude.drop();
    await polite.leave();
    assert.equal((await server.get('/health')).status, 200);
  });

  test('connections that say nothing do not keep others out', async () => {
    const idle = await Promise.all([...Array(300)].map(() => new Promise((resolve, reject) => {
      const socket = net.connect(server.port, '127.0.0.1', () => resolve(socket));
      socket.on('error', reject);
    })));
    assert.equal((await server.get('/health')).status, 200);
    for (const socket of idle) socket.destroy();
  });

  test('clients that vanish leave nothing behind', async () => {
    const descriptors = () => within(import('node:fs').then((fs) => fs.readdirSync(`/proc/${server.pid}/fd`).length), 'fd');
    const before = await descriptors();
    const watchers = await Promise.all([...Array(100)].map(() => server.watchJob('vanishing')));
    for (const watcher of watchers) watcher.drop();
    await waitFor(async () => (await descriptors()) <= before + 2, 'the descriptors to be given back');
  });
});
