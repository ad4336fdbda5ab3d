// What the Engine.IO protocol, revision 4, asks of a server, case by case, with
// one I/O thread and with four: then requests of one socket come in on any of
// them. Two servers each: a patient one, and one with short heartbeats.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';

import { request } from '../support/http.mjs';
import { require } from '../support/packages.mjs';
import { waitFor, within } from '../support/wait.mjs';
import { Conformance, Peer, Wire, OP, frame } from '../support/wire.mjs';

const WebSocket = require('ws');
const { Socket: Client } = require('engine.io-client');
const OldClient = createRequire(require.resolve('socket.io-client-2'))('engine.io-client');

const RS = '\x1e';
const INTERVAL = 300;
const TIMEOUT = 3000; // and nobody who answers is too late, on any machine
const MAX = 1_000_000;
const PATIENT = [60_000, 50_000];

const errors = {
  transport: { code: 0, message: 'Transport unknown' },
  sid: { code: 1, message: 'Session ID unknown' },
  method: { code: 2, message: 'Bad handshake method' },
  request: { code: 3, message: 'Bad request' },
  version: { code: 5, message: 'Unsupported protocol version' },
};

// A server, and the words of the protocol spoken to it.
class Pipe {
  constructor(port) {
    this.port = port;
  }

  target(query) {
    return `/engine.io/?${new URLSearchParams(query)}`;
  }

  ask(query, options) {
    return request(`http://127.0.0.1:${this.port}${this.target(query)}`, options);
  }

  of(sid, more) {
    return { EIO: 4, transport: 'polling', sid, ...more };
  }

  poll(sid, options) {
    return this.ask(this.of(sid), options);
  }

  post(sid, body, headers = {}) {
    return this.ask(this.of(sid), { method: 'POST', body, headers });
  }

  async open() {
    const answer = await this.ask({ EIO: 4, transport: 'polling' });
    assert.equal(answer.status, 200);
    return JSON.parse(answer.text.slice(1)).sid;
  }

  async expectPoll(sid, text) {
    const answer = await this.poll(sid);
    assert.deepEqual([answer.status, answer.text], [200, text]);
  }

  async expectPost(sid, body) {
    const answer = await this.post(sid, body);
    assert.deepEqual([answer.status, answer.text], [200, 'ok']);
  }

  async expectGone(sid) {
    const answer = await this.poll(sid);
    assert.deepEqual([answer.status, answer.json], [400, errors.sid]);
  }

  socket(query, options) {
    return Ws.open(`ws://127.0.0.1:${this.port}${this.target({ EIO: 4, transport: 'websocket', ...query })}`, options);
  }
}

// A WebSocket whose messages are read one after the other.
class Ws {
  static async open(url, options) {
    const it = new Ws();
    it.heard = [];
    it.socket = new WebSocket(url, options);
    it.socket.on('message', (data, isBinary) => it.heard.push(isBinary ? data : data.toString()));
    it.socket.on('close', (code) => (it.code = code));
    await within(new Promise((resolve, reject) => {
      it.socket.on('open', resolve);
      it.socket.on('error', reject);
    }), 'the handshake');
    return it;
  }

  async next() {
    await waitFor(() => this.heard.length > 0 || this.code !== undefined, 'a message', { every: 2 });
    assert.ok(this.heard.length > 0, `closed with ${this.code}`);
    return this.heard.shift();
  }

  async expect(...messages) {
    for (const message of messages) assert.deepEqual(await this.next(), message);
  }

  async expectClose(code) {
    await waitFor(() => this.code !== undefined, 'the Close', { every: 2 });
    assert.deepEqual(this.heard, []);
    assert.equal(this.code, code);
  }

  say(...messages) {
    for (const message of messages) this.socket.send(message);
  }

  close() {
    this.socket.terminate();
  }
}

async function refusedUpgrade(port, target, headers = '') {
  const wire = await Wire.open(port);
  await wire.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
  await wire.until(() => wire.bytes.includes('}'), 'the answer');
  const text = wire.bytes.toString('latin1');
  wire.close();
  return { status: Number(text.slice(9, 12)), head: text, json: JSON.parse(text.slice(text.indexOf('{'))) };
}

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

for (const threads of [1, 4]) {
  describe(`Engine.IO with ${threads} I/O thread(s)`, () => {
    let patient, quick, pipe, hasty;

    before(async () => {
      patient = await Conformance.start(threads, ...PATIENT);
      quick = await Conformance.start(threads, INTERVAL, TIMEOUT);
      pipe = new Pipe(patient.port);
      hasty = new Pipe(quick.port);
    });

    after(async () => {
      await patient.stop();
      await quick.stop();
    });

    describe('handshake', () => {
      it('opens a socket by polling', async () => {
        const answer = await pipe.ask({ EIO: 4, transport: 'polling' });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8');
        assert.equal(answer.headers['cache-control'], 'no-store');
        assert.equal(answer.text[0], '0');
        const { sid, ...terms } = JSON.parse(answer.text.slice(1));
        assert.match(sid, /^[\w-]{21}$/);
        assert.deepEqual(terms,
          { upgrades: ['websocket'], pingInterval: PATIENT[0], pingTimeout: PATIENT[1], maxPayload: MAX });
      });

      it('opens a socket by WebSocket', async () => {
        const ws = await pipe.socket();
        const open = await ws.next();
        assert.equal(open[0], '0');
        const { sid, ...terms } = JSON.parse(open.slice(1));
        assert.match(sid, /^[\w-]{21}$/);
        assert.deepEqual(terms, { upgrades: [], pingInterval: PATIENT[0], pingTimeout: PATIENT[1], maxPayload: MAX });
        ws.close();
      });

      it('gives every socket a name of its own', async () => {
        const sids = await Promise.all(Array.from({ length: 50 }, () => pipe.open()));
        assert.equal(new Set(sids.map((sid) => sid.slice(1))).size, 50);
      });

      for (const [name, query, error, method] of [
        ['no version', { transport: 'polling' }, errors.version],
        ['another version', { EIO: 2, transport: 'polling' }, errors.version],
        ['a version to come', { EIO: 5, transport: 'polling' }, errors.version],
        ['a version that is none', { EIO: 'abc', transport: 'polling' }, errors.version],
        ['no transport', { EIO: 4 }, errors.transport],
        ['an unknown transport', { EIO: 4, transport: 'abc' }, errors.transport],
        ['a transport by its prefix', { EIO: 4, transport: 'poll' }, errors.transport],
        ['WebTransport', { EIO: 4, transport: 'webtransport' }, errors.transport],
        ['a POST', { EIO: 4, transport: 'polling' }, errors.method, 'POST'],
        ['a PUT', { EIO: 4, transport: 'polling' }, errors.method, 'PUT'],
        ['a DELETE', { EIO: 4, transport: 'polling' }, errors.method, 'DELETE'],
        ['a WebSocket without an upgrade', { EIO: 4, transport: 'websocket' }, errors.request],
        ['JSONP', { EIO: 4, transport: 'polling', j: 0 }, errors.request],
        ['an unknown socket', { EIO: 4, transport: 'polling', sid: 'abc' }, errors.sid],
        ['a socket of a thread that there is not', { EIO: 4, transport: 'polling', sid: `_${'a'.repeat(20)}` }, errors.sid],
        ['a socket of another thread', { EIO: 4, transport: 'polling', sid: `B${'a'.repeat(20)}` }, errors.sid],
        ['a socket with a long name', { EIO: 4, transport: 'polling', sid: 'A'.repeat(4000) }, errors.sid],
        ['a name of odd bytes', { EIO: 4, transport: 'polling', sid: 'Aé\u{1f600}%00' }, errors.sid],
        ['an unknown socket for a POST', { EIO: 4, transport: 'polling', sid: 'abc' }, errors.sid, 'POST'],
      ]) {
        it(`refuses ${name}`, async () => {
          const answer = await pipe.ask(query, { method: method ?? 'GET' });
          assert.deepEqual([answer.status, answer.json], [400, error]);
          assert.equal(answer.headers['content-type'], 'application/json');
        });
      }

      for (const [name, query, error] of [
        ['no version', 'transport=websocket', errors.version],
        ['a version that is none', 'EIO=abc&transport=websocket', errors.version],
        ['no transport', 'EIO=4', errors.transport],
        ['an unknown transport', 'EIO=4&transport=abc', errors.transport],
        ['an unknown socket', 'EIO=4&transport=websocket&sid=Babcdefghijklmnopqrst', errors.sid],
      ]) {
        it(`refuses a WebSocket with ${name}`, async () => {
          const answer = await refusedUpgrade(patient.port, `/engine.io/?${query}`, `${UPGRADE}Sec-WebSocket-Version: 13\r\n`);
          assert.deepEqual([answer.status, answer.json], [400, error]);
        });
      }

      it('refuses a WebSocket of another version, and names its own', async () => {
        const answer = await refusedUpgrade(patient.port, '/engine.io/?EIO=4&transport=websocket',
          `${UPGRADE}Sec-WebSocket-Version: 8\r\n`);
        assert.equal(answer.status, 426);
        assert.match(answer.head, /\r\nSec-WebSocket-Version: 13\r\n/);
      });
    });

    describe('messages by polling', () => {
      for (const [name, body] of [
        ['a text', '4hello'],
        ['an empty text', '4'],
        ['several texts', ['4one', '4two', '4three'].join(RS)],
        ['a text of many bytes a character', '4utf 8 string: € \u{1f389} é'],
        ['bytes', 'bAQIDBA=='],
        ['no bytes', 'b'],
        ['text and bytes', ['4hello', 'bAQIDBA==', '4', 'b//8='].join(RS)],
        ['many', Array.from({ length: 5000 }, (_, i) => `4message ${i}`).join(RS)],
      ]) {
        it(`brings back ${name}`, async () => {
          const sid = await pipe.open();
          await pipe.expectPost(sid, body);
          await pipe.expectPoll(sid, body);
        });

        it(`brings back ${name} to a poll that waits`, async () => {
          const sid = await pipe.open();
          const poll = pipe.poll(sid);
          await pipe.expectPost(sid, body);
          assert.equal((await poll).text, body);
        });
      }

      it('keeps the order over many requests', async () => {
        const sid = await pipe.open();
        const heard = [];
        let isOver = false;
        const polls = (async () => {
          while (!isOver) {
            const answer = await pipe.poll(sid);
            assert.equal(answer.status, 200);
            heard.push(...answer.text.split(RS));
            isOver = heard.includes('4end');
          }
        })();
        for (let i = 0; i < 100; i++) await pipe.expectPost(sid, `4${i}`);
        await pipe.expectPost(sid, '4end');
        await polls;
        assert.deepEqual(heard, [...Array.from({ length: 100 }, (_, i) => `4${i}`), '4end']);
      });

      it('takes a payload of the size it announced', async () => {
        const sid = await pipe.open();
        const body = `4${'x'.repeat(MAX - 1)}`;
        await pipe.expectPost(sid, body);
        await pipe.expectPoll(sid, body);
      });

      it('refuses one byte more with 413', async () => {
        const sid = await pipe.open();
        const answer = await pipe.post(sid, `4${'x'.repeat(MAX)}`).catch((error) => error.code);
        assert.ok(answer === 'EPIPE' || answer === 'ECONNRESET' || answer.status === 413);
        await pipe.expectPost(sid, '4still here');
        await pipe.expectPoll(sid, '4still here');
      });

      it('refuses a chunked payload that grows too long', async () => {
        const sid = await pipe.open();
        const wire = await Wire.open(patient.port);
        const piece = `10000\r\n${'4'.repeat(65536)}\r\n`;
        await wire.send(`POST ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
          + `${piece.repeat(20)}0\r\n\r\n`);
        await wire.until(() => wire.bytes.includes('HTTP/1.1 413 '), 'the refusal');
        wire.close();
        await pipe.expectGone(sid);
      });

      it('takes a chunked payload', async () => {
        const sid = await pipe.open();
        const wire = await Wire.open(patient.port);
        await wire.send(`POST ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
          + '3\r\n4he\r\n3\r\nllo\r\n0\r\n\r\n', 1);
        await wire.until(() => wire.bytes.includes('ok'), 'the answer');
        wire.close();
        await pipe.expectPoll(sid, '4hello');
      });

      for (const [name, body, headers] of [
        ['letters', 'abc'],
        ['nothing', ''],
        ['an unknown type', '7'],
        ['a separator alone', RS],
        ['an empty packet behind another', `4hello${RS}`],
        ['broken base64', 'bAQID!A=='],
        ['base64 without its padding', 'bAQIDBA'],
        ['what is not UTF-8', Buffer.from([0x34, 0xff])],
        ['a ping, which is the server\'s to send', '2'],
        ['bytes as such', Buffer.from([4, 1, 2, 3]), { 'content-type': 'application/octet-stream' }],
      ]) {
        it(`closes upon ${name}`, async () => {
          const sid = await pipe.open();
          const answer = await pipe.post(sid, body, headers);
          assert.deepEqual([answer.status, answer.json], [400, errors.request]);
          await pipe.expectGone(sid);
        });
      }

      it('lets a waiting poll go when it closes', async () => {
        const sid = await pipe.open();
        const poll = pipe.poll(sid);
        await pipe.expectPost(sid, '3'); // behind which the poll has come
        await waitFor(async () => (await pipe.post(sid, 'abc')).status === 400, 'the refusal');
        const { status, text } = await poll;
        assert.ok((status === 200 && text === '1') || status === 400);
        await pipe.expectGone(sid);
      });

      it('closes upon a second poll', async () => {
        const sid = await pipe.open();
        const polls = await Promise.all([pipe.poll(sid), pipe.poll(sid)]);
        const [good, bad] = polls.sort((a, b) => a.status - b.status);
        assert.deepEqual([good.status, good.text], [200, '1']);
        assert.deepEqual([bad.status, bad.json], [400, errors.request]);
        await pipe.expectGone(sid);
      });

      it('closes upon a second post', async () => {
        const sid = await pipe.open();
        const wire = await Wire.open(patient.port);
        await wire.send(`POST ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n`);
        await wire.until(() => wire.bytes.includes(' 100 '), 'the first post to be under way');
        const second = await pipe.post(sid, '4second');
        assert.deepEqual([second.status, second.json], [400, errors.request]);
        await wire.send('4first');
        await wire.until(() => wire.bytes.includes(' 400 '), 'the first one\'s answer');
        wire.close();
        await pipe.expectGone(sid);
      });

      it('closes when a post breaks off', async () => {
        const sid = await pipe.open();
        const wire = await Wire.open(patient.port);
        await wire.send(`POST ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n`);
        await wire.until(() => wire.bytes.includes(' 100 '), 'the post to be under way');
        wire.close();
        await waitFor(async () => (await pipe.post(sid, '4x')).status === 400, 'the end');
      });

      for (const method of ['PUT', 'DELETE', 'HEAD']) {
        it(`refuses ${method}, and goes on`, async () => {
          const sid = await pipe.open();
          assert.equal((await pipe.ask(pipe.of(sid), { method })).status, 400);
          await pipe.expectPost(sid, '4hello');
          await pipe.expectPoll(sid, '4hello');
        });
      }

      it('refuses the other transport without an upgrade, and goes on', async () => {
        const sid = await pipe.open();
        const answer = await pipe.ask(pipe.of(sid, { transport: 'websocket' }));
        assert.deepEqual([answer.status, answer.json], [400, errors.request]);
        await pipe.expectPost(sid, '4hello');
        await pipe.expectPoll(sid, '4hello');
      });
    });

    describe('messages by WebSocket', () => {
      let ws;

      const open = async (options) => {
        ws = await pipe.socket({}, options);
        await ws.next();
        return ws;
      };

      for (const perMessageDeflate of [false, true]) {
        it(`brings back text and bytes, ${perMessageDeflate ? 'compressed' : 'plain'}`, async () => {
          await open({ perMessageDeflate });
          ws.say('4hello', Buffer.from([1, 2, 3, 4]), '4€', '4', Buffer.alloc(0), `4${'x'.repeat(70000)}`);
          await ws.expect('4hello', Buffer.from([1, 2, 3, 4]), '4€', '4', Buffer.alloc(0), `4${'x'.repeat(70000)}`);
          ws.close();
        });
      }

      it('takes bytes as base64 too', async () => {
        await open();
        ws.say('bAQIDBA==');
        await ws.expect(Buffer.from([1, 2, 3, 4]));
        ws.close();
      });

      for (const text of ['abc', '', '7', '2', 'bA']) {
        it(`closes upon <${text}>`, async () => {
          await open();
          ws.say(text, '4ignored');
          await ws.expectClose(1002);
        });
      }

      it('takes a message of the size it announced, and none that is longer', async () => {
        await open();
        const text = `4${'x'.repeat(MAX - 1)}`;
        ws.say(text);
        await ws.expect(text);
        ws.say(`${text}x`);
        await ws.expectClose(1009);
      });
    });

    describe('heartbeat', { concurrency: 4 }, () => {
      it('pings a poll that waits, and goes on upon a pong', async () => {
        const began = performance.now();
        const sid = await hasty.open();
        for (let i = 1; i <= 3; i++) {
          await hasty.expectPoll(sid, '2');
          assert.ok(performance.now() - began > i * INTERVAL - 5, 'not too early');
          await hasty.expectPost(sid, '3');
        }
      });

      it('ends a socket that nobody polls', async () => {
        const began = performance.now();
        const sid = await hasty.open();
        // Messages are no pongs.
        await waitFor(async () => (await hasty.post(sid, '4x')).status === 400, 'the end', { every: 100 });
        assert.ok(performance.now() - began > INTERVAL + TIMEOUT - 5, 'not too early');
        await hasty.expectGone(sid);
      });

      it('ends a socket that polls and does not answer', async () => {
        const sid = await hasty.open();
        await hasty.expectPoll(sid, '2');
        await hasty.expectPoll(sid, '1');
        await hasty.expectGone(sid);
      });

      it('pings a WebSocket, and goes on upon a pong', async () => {
        const ws = await hasty.socket();
        await ws.next();
        for (let i = 0; i < 3; i++) {
          await ws.expect('2');
          ws.say('3');
        }
        ws.say('4still here');
        await ws.expect('4still here');
        ws.close();
      });

      it('ends a WebSocket that does not answer', async () => {
        const ws = await hasty.socket();
        await ws.next();
        await ws.expect('2');
        await ws.expectClose(1008);
      });

      it('messages are no pongs', async () => {
        const ws = await hasty.socket();
        await ws.next();
        await ws.expect('2');
        const timer = setInterval(() => ws.say('4x'), 20);
        await waitFor(() => ws.code !== undefined, 'the Close');
        clearInterval(timer);
        assert.equal(ws.code, 1008);
      });

      it('goes on over an upgrade', async () => {
        const sid = await hasty.open();
        const ws = await hasty.socket({ sid });
        ws.say('2probe');
        await ws.expect('3probe');
        ws.say('5');
        for (let i = 0; i < 3; i++) {
          await ws.expect('2');
          ws.say('3');
        }
        ws.close();
      });
    });

    describe('close', () => {
      it('the client closes by polling: its poll is let go', async () => {
        const sid = await pipe.open();
        const poll = pipe.poll(sid);
        // A post behind the poll, so that the poll is there before the end.
        await pipe.expectPost(sid, '3');
        await pipe.expectPost(sid, '1');
        const { status, text } = await poll;
        assert.ok((status === 200 && text === '6') || status === 400);
        await pipe.expectGone(sid);
      });

      it('what stands behind a close is not heard', async () => {
        const sid = await pipe.open();
        await pipe.expectPost(sid, `1${RS}4hello`);
        await pipe.expectGone(sid);
      });

      it('the client closes by WebSocket', async () => {
        const ws = await pipe.socket();
        await ws.next();
        ws.say('1');
        await ws.expectClose(1000);
      });

      it('the WebSocket is closed as such', async () => {
        const ws = await pipe.socket();
        const { sid } = JSON.parse((await ws.next()).slice(1));
        ws.socket.close();
        await waitFor(async () => (await pipe.poll(sid)).json.code === 1, 'the end');
      });

      it('the client breaks its poll off', async () => {
        const sid = await pipe.open();
        const wire = await Wire.open(patient.port);
        // A whole request before it, so that the poll is there when it is left.
        await wire.send(`GET ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\n\r\n`);
        wire.socket.end();
        await waitFor(async () => (await pipe.post(sid, '3')).status === 400, 'the end');
        wire.close();
      });
    });

    describe('upgrade', () => {
      const probe = async (sid) => {
        const ws = await pipe.socket({ sid });
        ws.say('2probe');
        await ws.expect('3probe');
        return ws;
      };

      it('goes from polling to WebSocket', async () => {
        const sid = await pipe.open();
        const ws = await probe(sid);
        await pipe.expectPoll(sid, '6');
        ws.say('5', '4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('lets a poll go that was waiting', async () => {
        const sid = await pipe.open();
        const poll = pipe.poll(sid);
        const ws = await probe(sid);
        assert.equal((await poll).text, '6');
        ws.say('5', '4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('carries over what nobody has fetched, once and in order', async () => {
        const sid = await pipe.open();
        await pipe.expectPost(sid, ['4one', 'bAQI=', '4two'].join(RS));
        const ws = await probe(sid);
        ws.say('5', '4three');
        await ws.expect('4one', Buffer.from([1, 2]), '4two', '4three');
        ws.close();
      });

      it('what is fetched while the probe is under way does not come again', async () => {
        const sid = await pipe.open();
        await pipe.expectPost(sid, '4one');
        const ws = await probe(sid);
        await pipe.expectPoll(sid, '4one');
        await pipe.expectPost(sid, '4two');
        ws.say('5', '4three');
        await ws.expect('4two', '4three');
        ws.close();
      });

      it('is complete without waiting for the pong', async () => {
        const sid = await pipe.open();
        const ws = await pipe.socket({ sid });
        ws.say('2probe', '5', '4hello');
        await ws.expect('3probe', '4hello');
        ws.close();
      });

      it('refuses polling requests afterwards, and goes on', async () => {
        const sid = await pipe.open();
        const ws = await probe(sid);
        ws.say('5', '4done');
        await ws.expect('4done');
        for (const answer of [await pipe.poll(sid), await pipe.post(sid, '4no')]) {
          assert.deepEqual([answer.status, answer.json], [400, errors.request]);
        }
        ws.say('4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('closes a second WebSocket, and goes on', async () => {
        const sid = await pipe.open();
        const ws = await probe(sid);
        await (await pipe.socket({ sid })).expectClose(1008); // while it is under way
        ws.say('5', '4done');
        await ws.expect('4done');
        await (await pipe.socket({ sid })).expectClose(1008); // and behind it
        ws.say('4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('is not for a socket that began as a WebSocket', async () => {
        const ws = await pipe.socket();
        const { sid } = JSON.parse((await ws.next()).slice(1));
        await (await pipe.socket({ sid })).expectClose(1008);
        ws.say('4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('fails upon anything but a probe, and polling goes on', async () => {
        const sid = await pipe.open();
        for (const word of ['4hello', '2', '2wrong', 'abc', '']) {
          const ws = await pipe.socket({ sid });
          ws.say(word);
          await ws.expectClose(1002);
        }
        await pipe.expectPost(sid, '4hello');
        await pipe.expectPoll(sid, '4hello');
      });

      it('may be tried again when the first one was given up', async () => {
        const sid = await pipe.open();
        (await probe(sid)).close();
        const ws = await waitFor(async () => {
          const second = await pipe.socket({ sid });
          second.say('2probe');
          await waitFor(() => second.heard.length > 0 || second.code !== undefined, 'an answer');
          return second.heard.length > 0 ? second : undefined;
        }, 'the first one to be forgotten');
        await ws.expect('3probe');
        ws.say('5', '4hello');
        await ws.expect('4hello');
        ws.close();
      });

      it('ends with the socket', async () => {
        const sid = await pipe.open();
        const ws = await probe(sid);
        await pipe.expectPost(sid, '1');
        await ws.expectClose(1000);
      });

      it('hears what comes in the same packet as the request', async () => {
        const sid = await pipe.open();
        const peer = await Peer.open(patient.port, {
          path: pipe.target({ EIO: 4, transport: 'websocket', sid }),
          behind: Buffer.concat([frame(OP.text, '2probe'), frame(OP.text, '5'), frame(OP.text, '4early')]),
        });
        await peer.expect(OP.text, '3probe');
        await peer.expect(OP.text, '4early');
        peer.close();
      });
    });

    describe('the client of the reference', { concurrency: 4 }, () => {
      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        it(`hears everything once and in order by ${transports.join(', then ')}`, async () => {
          const client = new Client(`http://127.0.0.1:${quick.port}`, { transports });
          const heard = [];
          let said = 0;
          const say = () => client.send(said % 5 === 4 ? Buffer.from(String(said++)) : String(said++));
          client.on('message', (data) => heard.push(Number(typeof data === 'string' ? data : Buffer.from(data).toString())));
          client.on('close', (why) => (client.why = why));
          await within(new Promise((resolve) => client.on('open', resolve)), 'the client to open');
          // Through the upgrade, and until three heartbeats have gone by.
          let beats = 0;
          client.on('heartbeat', () => beats++);
          await waitFor(() => {
            for (let i = 0; i < 3; i++) say();
            assert.equal(client.why, undefined);
            return beats >= 3 && client.transport.name === transports.at(-1);
          }, 'three heartbeats', { every: 5 });
          await waitFor(() => heard.length >= said, 'the last echo');
          assert.deepEqual(heard, Array.from({ length: said }, (_, i) => i));
          client.close();
        });
      }
    });

    describe('revision 3', () => {
      const of = (sid) => ({ EIO: 3, transport: 'polling', ...(sid && { sid }) });
      const open = async (server) => {
        const answer = await server.ask(of());
        const [, length, text] = /^(\d+):0(.*)$/.exec(answer.text);
        assert.equal(Number(length), text.length + 1);
        return JSON.parse(text).sid;
      };

      it('has lengths in its payloads, in UTF-16 units', async () => {
        const sid = await open(pipe);
        const payload = '6:4hello5:4€\u{1f389}:10:b4AQIDBA==';
        assert.equal((await pipe.ask(of(sid), { method: 'POST', body: payload })).text, 'ok');
        assert.equal((await pipe.ask(of(sid))).text, payload);
      });

      it('closes upon a length that does not fit', async () => {
        const sid = await open(pipe);
        assert.equal((await pipe.ask(of(sid), { method: 'POST', body: '7:4hello' })).status, 400);
        await pipe.expectGone(sid);
      });

      it('has the client ping', async () => {
        const sid = await open(hasty);
        for (let i = 0; i < 4; i++) {
          await new Promise((resolve) => setTimeout(resolve, INTERVAL / 2));
          assert.equal((await hasty.ask(of(sid), { method: 'POST', body: '1:2' })).text, 'ok');
          assert.equal((await hasty.ask(of(sid))).text, '1:3');
        }
        // A poll that waits says nothing.
        await waitFor(async () => (await hasty.ask(of(sid))).status === 400, 'the end');
        await hasty.expectGone(sid);
      });

      it('closes upon a pong', async () => {
        const sid = await open(pipe);
        assert.equal((await pipe.ask(of(sid), { method: 'POST', body: '1:3' })).status, 400);
        await pipe.expectGone(sid);
      });

      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        it(`its client hears everything once and in order by ${transports.join(', then ')}`, async () => {
          const client = new OldClient(`ws://127.0.0.1:${quick.port}`, { transports, forceBase64: true });
          const heard = [];
          let said = 0;
          client.on('message', (data) => heard.push(Number(data)));
          client.on('close', (why) => (client.why = why));
          let beats = 0;
          client.on('pong', () => beats++);
          await within(new Promise((resolve) => client.on('open', resolve)), 'the client to open');
          await waitFor(() => {
            for (let i = 0; i < 3; i++) client.send(String(said++));
            assert.equal(client.why, undefined);
            return beats >= 3 && client.transport.name === transports.at(-1);
          }, 'three heartbeats', { every: 5 });
          await waitFor(() => heard.length >= said, 'the last echo');
          assert.deepEqual(heard, Array.from({ length: said }, (_, i) => i));
          client.close();
        });
      }
    });

    it('many clients at once', async () => {
      const clients = Array.from({ length: 40 }, (_, i) => {
        const client = new Client(`http://127.0.0.1:${patient.port}`, {
          transports: i % 3 === 0 ? ['polling'] : ['polling', 'websocket'],
        });
        client.heard = [];
        client.on('message', (data) => client.heard.push(data));
        client.on('open', () => {
          for (let k = 0; k < 20; k++) client.send(`${i} ${k}`);
        });
        return client;
      });
      await waitFor(() => clients.every((client) => client.heard.length === 20), 'all echoes');
      clients.forEach((client, i) => {
        assert.deepEqual(client.heard, Array.from({ length: 20 }, (_, k) => `${i} ${k}`));
        client.close();
      });
    });
  });

  describe(`Engine.IO with ${threads} I/O thread(s) that ends`, () => {
    it('answers the polls that wait and closes the WebSockets', async () => {
      const server = await Conformance.start(threads, ...PATIENT);
      const pipe = new Pipe(server.port);
      const sids = await Promise.all(Array.from({ length: 8 }, () => pipe.open()));
      const wires = [];
      for (const sid of sids) {
        const wire = await Wire.open(server.port);
        await wire.send(`GET ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await pipe.expectPost(sid, '4there');
        await wire.until(() => wire.bytes.includes('4there'), 'the poll to be served');
        wire.forget(wire.length);
        // On the same connection, so it is read before the server ends.
        await wire.send(`GET ${pipe.target(pipe.of(sid))} HTTP/1.1\r\nHost: a\r\n\r\n`);
        wires.push(wire);
      }
      const sockets = await Promise.all(sids.map(() => pipe.socket()));
      for (const ws of sockets) await ws.next();
      const idle = await pipe.open();
      assert.ok(idle);
      const stopped = server.stop();
      for (const ws of sockets) await ws.expectClose(1001);
      for (const wire of wires) {
        await wire.untilEnd();
        wire.close();
        assert.match(wire.bytes.toString(), /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n[^]*\r\n\r\n1$/);
      }
      await stopped;
    });
  });
}
