// A relay of HTTP in front of a bucket, which fails on command. What passes is passed as
// it came, its Host too, so that what was signed for the relay's address stays good.
//
//   const relay = await faultyBefore(t, swift);
//   const url = through(swift.url, swift, relay.origin);
//   relay.refuse({ count: 3 })                    503 to the next three requests
//   relay.refuse({ seconds: 2, status: 500 })     ... to all for so long; with a `body`
//   relay.slow(bytesPerSecond)                    both ways; 0: as fast as can be
//   relay.truncate({ count, bytes })              answers that end too early
//   relay.reset({ count, bytes })                 connections that break behind so many bytes of the request's body
//   relay.before = async (request) => { ... }     runs before each request is passed on; false: it is cut off
//   relay.requests                                [{method, path, headers, status}] of all that came; no status: not answered
// `matching` (a function of the request) in the options says which requests are meant.
import http from 'node:http';
import { pipeline } from 'node:stream/promises';

import { freePort } from './ports.mjs';
import { within } from './wait.mjs';

const SLICE = 16 * 1024;

export class Faulty {
  constructor(endpoint) {
    this.to = new URL(endpoint);
    this.faults = [];
    this.requests = [];
    this.rate = 0;
    this.before = null;
    this.server = http.createServer((request, answer) => {
      this.#serve(request, answer).catch(() => answer.socket?.destroy());
    });
    this.server.requestTimeout = 0;
    // curl waits for it with large bodies.
    this.server.on('checkContinue', (request, answer) => {
      answer.writeContinue();
      this.server.emit('request', request, answer);
    });
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await new Promise((resolve) => this.server.once('listening', resolve));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await within(new Promise((resolve) => this.server.close(resolve)), 'the end of a relay');
  }

  refuse(options) { this.#add('refuse', options); }

  truncate(options) { this.#add('truncate', options); }

  reset(options) { this.#add('reset', options); }

  slow(bytesPerSecond) { this.rate = bytesPerSecond; }

  #add(kind, { count = Infinity, seconds = Infinity, matching = () => true, ...rest }) {
    this.faults.push({ kind, left: count, until: Date.now() + seconds * 1000, matching, ...rest });
  }

  #faultOf(request) {
    this.faults = this.faults.filter((fault) => fault.left > 0 && Date.now() < fault.until);
    const fault = this.faults.find(({ matching }) => matching(request));
    if (fault) fault.left--;
    return fault ?? {};
  }

  async #serve(request, answer) {
    const described = { method: request.method, path: request.url, headers: request.headers };
    this.requests.push(described);
    if (this.before && (await this.before(described)) === false) {
      request.socket.destroy();
      return;
    }
    const fault = this.#faultOf(described);
    if (fault.kind === 'refuse') {
      request.resume();
      const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) };
      answer.writeHead(fault.status ?? 503, headers).end(fault.body);
      return;
    }
    if (fault.kind === 'reset') {
      await this.#swallow(request, fault.bytes ?? 0);
      request.socket.resetAndDestroy();
      return;
    }
    await this.#pass(request, answer, fault, described);
  }

  async #swallow(request, bytes) {
    let seen = 0;
    if (bytes === 0) return;
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      seen += chunk.length;
      if (seen >= bytes) return;
    }
  }

  async #pass(request, answer, fault, described) {
    const headers = {};
    for (let i = 0; i < request.rawHeaders.length; i += 2) headers[request.rawHeaders[i]] = request.rawHeaders[i + 1];
    delete headers.Expect;
    delete headers.expect;
    const onward = http.request({
      host: this.to.hostname, port: this.to.port, method: request.method, path: request.url, headers, setHost: false,
      agent: false,
    });
    const answered = new Promise((resolve, reject) => {
      onward.on('response', resolve).on('error', reject);
    });
    answered.catch(() => {});
    answer.on('close', () => onward.destroy());
    pipeline(request, (source) => this.#paced(source), onward).catch(() => {}); // `answered` hears of it
    const back = await answered;
    described.status = back.statusCode;
    await this.#giveBack(back, answer, fault);
  }

  async #giveBack(back, answer, fault) {
    answer.writeHead(back.statusCode, back.statusMessage, back.rawHeaders);
    if (fault.kind !== 'truncate') {
      await pipeline(back, (source) => this.#paced(source), answer);
      return;
    }
    let left = fault.bytes ?? 0;
    answer.flushHeaders();
    for await (const chunk of back) {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (part.length > 0) await new Promise((resolve) => answer.write(part, resolve));
      if (left === 0) break;
    }
    answer.socket.destroy();
  }

  async* #paced(source) {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += SLICE) {
        const slice = chunk.subarray(at, at + SLICE);
        yield slice;
        if (this.rate > 0) await new Promise((resolve) => setTimeout(resolve, (slice.length * 1000) / this.rate));
      }
    }
  }
}

export async function faultyBefore(t, bucket) {
  const relay = await new Faulty(bucket.endpoint).listen();
  t.after(() => relay.stop());
  return relay;
}

// An address where nobody is.
export const nobody = async () => `http://127.0.0.1:${await freePort()}`;
