// Bytes on a socket, nothing between: what no well-behaved client would send, and
// what exactly comes back. The server is tests/support/conformance: the real
// codecs and I/O with echoes behind them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { binary, environment } from './server.mjs';
import { within } from './wait.mjs';

const program = path.join(path.dirname(binary), 'tests/support/conformance');
const PATIENCE = 30_000;

export class Conformance {
  static async start(...words) {
    const it = new Conformance();
    it.child = spawn(program, ['127.0.0.1:0', ...words.map(String)], { env: environment(), stdio: 'pipe' });
    it.stderr = '';
    it.child.stderr.on('data', (data) => (it.stderr += data));
    it.exit = new Promise((resolve) => it.child.on('close', (...end) => resolve(end)));
    const line = await within(new Promise((resolve, reject) => {
      let text = '';
      it.child.on('error', reject);
      it.child.on('exit', () => reject(new Error(`conformance died: ${it.stderr}`)));
      it.child.stdout.on('data', (data) => {
        text += data;
        if (text.includes('\n')) resolve(text);
      });
    }), 'conformance to listen', PATIENCE);
    it.port = Number(/:(\d+)\s*$/.exec(line)[1]);
    return it;
  }

  // It must still be well, and end without a word.
  async stop() {
    this.child.kill('SIGTERM');
    const end = await within(this.exit, 'conformance to end', PATIENCE);
    assert.equal(this.stderr, '');
    assert.deepEqual(end, [0, null]);
  }
}

export class Wire {
  static async open(port) {
    const wire = new Wire();
    wire.received = Buffer.alloc(0);
    wire.pieces = [];
    wire.length = 0;
    wire.end = undefined; // 'fin', or an error's code
    wire.waiting = [];
    wire.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    wire.socket.on('data', (data) => {
      wire.pieces.push(data);
      wire.length += data.length;
      wire.wake();
    });
    wire.socket.on('end', () => wire.finish('fin'));
    wire.socket.on('error', (error) => wire.finish(error.code));
    wire.socket.on('close', () => wire.finish('closed'));
    await new Promise((resolve, reject) => {
      wire.socket.once('connect', resolve);
      wire.socket.once('error', reject);
    });
    return wire;
  }

  finish(how) {
    this.end ??= how;
    this.wake();
  }

  wake() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  get bytes() {
    if (this.pieces.length > 0) this.received = Buffer.concat([this.received, ...this.pieces.splice(0)]);
    return this.received;
  }

  // Forgets what stands before `at`.
  forget(at) {
    this.received = this.bytes.subarray(at);
    this.length = this.received.length;
  }

  // `condition` looks at the wire; it is asked whenever something happened.
  async until(condition, what) {
    const poll = async () => {
      let value;
      while (!(value = condition())) {
        assert.equal(this.end, undefined, `${what}: the connection ended`);
        await new Promise((resolve) => this.waiting.push(resolve));
      }
      return value;
    };
    return within(poll(), what, PATIENCE);
  }

  async untilEnd() {
    await within((async () => {
      while (this.end === undefined) await new Promise((resolve) => this.waiting.push(resolve));
    })(), 'the server to close', PATIENCE);
    return this.end;
  }

  // In pieces of `step` bytes (a number, or numbers in turn), each sent on its own.
  async send(bytes, step) {
    const data = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, 'latin1');
    if (step === undefined) {
      this.socket.write(data);
      return;
    }
    const steps = [].concat(step);
    for (let at = 0, i = 0; at < data.length && this.end === undefined; i++) {
      const size = steps[i % steps.length];
      this.socket.write(data.subarray(at, at + size));
      at += size;
      await turn();
    }
  }

  close() {
    this.socket.destroy();
  }
}

export const OP = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// A client's frame.
export function frame(op, payload = '', { fin = true, rsv = 0, masked = true, form } = {}) {
  const data = Buffer.from(payload);
  const size = form ?? (data.length < 126 ? 0 : data.length < 65536 ? 2 : 8);
  const head = Buffer.alloc(2 + size);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | op;
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? data.length : size === 2 ? 126 : 127);
  if (size === 2) head.writeUInt16BE(data.length, 2);
  if (size === 8) head.writeBigUInt64BE(BigInt(data.length), 2);
  if (!masked) return Buffer.concat([head, data]);
  const mask = randomBytes(4);
  for (let i = 0; i < data.length; i++) data[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, data]);
}

export function closeFrame(code, reason = '', options) {
  if (code === undefined) return frame(OP.close, '', options);
  return frame(OP.close, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), options);
}

export function handshake({ path: target = '/ws', extensions, headers = '' } = {}) {
  return `GET ${target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
    + `${extensions ? `Sec-WebSocket-Extensions: ${extensions}\r\n` : ''}${headers}\r\n`;
}

// A WebSocket whose frames are made by hand; the server's are read strictly.
export class Peer {
  static async open(port, options = {}) {
    const peer = new Peer();
    peer.wire = await Wire.open(port);
    peer.at = 0;
    peer.needed = 2;
    const request = Buffer.from(handshake(options));
    await peer.wire.send(options.behind ? Buffer.concat([request, options.behind]) : request);
    const end = await peer.wire.until(() => {
      const found = peer.wire.bytes.indexOf('\r\n\r\n');
      return found < 0 ? 0 : found + 4;
    }, 'the handshake');
    peer.head = peer.wire.bytes.subarray(0, end).toString('latin1');
    assert.match(peer.head, /^HTTP\/1\.1 101 /);
    peer.at = end;
    return peer;
  }

  // The next frame if it is there as a whole.
  take() {
    if (this.wire.length < this.at + this.needed) return undefined;
    const { bytes } = this.wire;
    const left = bytes.length - this.at;
    const [first, second] = [bytes[this.at], bytes[this.at + 1]];
    assert.equal(second & 0x80, 0, 'a server masks nothing');
    const short = second & 0x7f;
    const size = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (left < 2 + size) {
      this.needed = 2 + size;
      return undefined;
    }
    const length = size === 2 ? bytes.readUInt16BE(this.at + 2)
      : size === 8 ? Number(bytes.readBigUInt64BE(this.at + 2)) : short;
    if (left < 2 + size + length) {
      this.needed = 2 + size + length;
      return undefined;
    }
    this.needed = 2;
    assert.ok(size === 0 || length > (size === 2 ? 125 : 65535), 'the shortest length is the only one');
    const start = this.at + 2 + size;
    this.at = start + length;
    const payload = bytes.subarray(start, this.at);
    if (this.at > 1 << 20) {
      this.wire.forget(this.at);
      this.at = 0;
    }
    return { fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, op: first & 15, payload };
  }

  next(what = 'a frame') {
    return this.wire.until(() => this.take(), what);
  }

  async expect(op, payload) {
    const got = await this.next();
    assert.deepEqual({ op: got.op, fin: got.fin, rsv: got.rsv }, { op, fin: true, rsv: 0 });
    assert.ok(got.payload.equals(Buffer.from(payload)), `payload of ${got.payload.length} bytes differs`);
  }

  // The server's Close, behind it the end of TCP and nothing between.
  async expectClose(code) {
    const got = await this.next('the Close');
    assert.equal(got.op, OP.close, `a Close, not opcode ${got.op}`);
    assert.ok(got.fin && got.rsv === 0);
    const said = got.payload.length > 0 ? got.payload.readUInt16BE(0) : null;
    assert.equal(said, code);
    assert.doesNotThrow(() => new TextDecoder('utf-8', { fatal: true }).decode(got.payload.subarray(2)));
    assert.equal(await this.wire.untilEnd(), 'fin');
    assert.equal(this.wire.bytes.length, this.at, 'nothing follows a Close');
  }

  close() {
    this.wire.close();
  }
}
