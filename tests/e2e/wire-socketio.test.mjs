// Socket.IO's packets as they go over the wire, against tests/support/conformance.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { require } from '../support/packages.mjs';
import { within } from '../support/wait.mjs';
import { watch } from '../support/watcher.mjs';
import { Conformance } from '../support/wire.mjs';

const { io } = require('socket.io-client');

describe('socket.io', () => {
  let server;
  const open = (t) => watch(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`)
    .then((raw) => (t.after(() => raw.drop()), raw));

  // No heartbeat comes between.
  before(async () => (server = await Conformance.start(1, 60_000, 60_000)));
  after(() => server.stop());

  test('whoever joins no namespace in time is cut off, and nobody else', async (t) => {
    const begin = performance.now();
    const [silent, refused, joined] = await Promise.all([open(t), open(t), open(t)]);
    refused.send('40/random,');
    joined.send('40/custom,');
    await within(Promise.all([silent.closed, refused.closed]), 'the end of the two');
    assert.ok(performance.now() - begin > 900, 'too early');
    await joined.settle();
    assert.equal(joined.close, null);
    joined.send('42/custom,["message","still here"]');
    await joined.until((text) => text === '42/custom,["message-back","still here"]');
  });

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`bytes come back as they went over ${transports.join(', then ')}`, async (t) => {
      const socket = io(`http://127.0.0.1:${server.port}/custom`, { transports, forceNew: true, auth: { token: 'abc' } });
      t.after(() => socket.disconnect());
      const [auth] = await within(new Promise((resolve) => socket.on('auth', (...args) => resolve(args))), 'auth');
      assert.deepEqual(auth, { token: 'abc' });
      const sent = [1, '2', { 3: [true, Buffer.from([0, 255])] }, Buffer.from('abc')];
      const back = new Promise((resolve) => socket.on('message-back', (...args) => resolve(args)));
      socket.emit('message', ...sent);
      assert.deepEqual(await within(back, 'the echo'), sent);
      const acknowledged = await within(new Promise((resolve) => {
        socket.emit('message-with-ack', ...sent, (...args) => resolve(args));
      }), 'the acknowledgement');
      assert.deepEqual(acknowledged, sent);
    });
  }

  const fatal = ['4', '4abc', '47', '42', '42{}', '42[]', '42["connect"]', '42abc["a"]', '42["a"', '43', '43[]', '41{}',
    '44{"message":"no"}', '40', '42/random,["a"]', '41/custom,', '4511-["a"]', '451["a"]',
    '451-["a",{"_placeholder":true,"num":1}]', `42["a",${'['.repeat(40)}${']'.repeat(40)}]`];
  for (const packet of fatal) {
    test(`${packet.slice(0, 40)} ends the connection`, async (t) => {
      const raw = await open(t);
      raw.send('40');
      await raw.until((text) => String(text).startsWith('40{'));
      raw.send(packet);
      await within(raw.closed, 'the end');
    });
  }

  test('bytes nobody waits for, and text where bytes are due, end the connection', async (t) => {
    const [early, late] = await Promise.all([open(t), open(t)]);
    for (const raw of [early, late]) raw.send('40');
    early.socket.send(Buffer.from('abc'));
    late.send('451-["message",{"_placeholder":true,"num":0}]');
    late.send('42["message"]');
    await within(Promise.all([early.closed, late.closed]), 'the end');
  });
});
