// A receiver of webhooks: checks every signature, keeps what it was told, and answers
// as it is asked to.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';

import { waitFor } from './wait.mjs';

export const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

export function signature(key, id, timestamp, body) {
  const bytes = key.startsWith('whsec_') ? Buffer.from(key.slice(6), 'base64') : Buffer.from(key);
  return `v1,${createHmac('sha256', bytes).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

export class Receiver {
  tries = []; // { id, body, type, job, status }: everything that came, in order
  open = 0; // requests that wait for their answer
  most = 0; // so many at a time

  // `answer(attempt)` gives a status, { status, headers }, or a promise of either.
  static async during(t, { port = 0, answer = () => 204, secrets = [secret] } = {}) {
    const receiver = new Receiver();
    Object.assign(receiver, { answer, secrets, faults: [] });
    t.after(() => receiver.stop());
    await receiver.start(port);
    return receiver;
  }

  async start(port = this.port) {
    this.server = createServer((request, response) => this.#take(request, response));
    await new Promise((resolve, reject) => this.server.on('error', reject).listen(port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
  }

  // Nobody answers at its port any more.
  async stop() {
    if (!this.server?.listening) return;
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  get url() {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  get accepted() {
    return this.tries.filter((one) => one.status >= 200 && one.status < 300);
  }

  async #take(request, response) {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    const id = request.headers['webhook-id'];
    const timestamp = request.headers['webhook-timestamp'];
    const expected = this.secrets.map((key) => signature(key, id, timestamp, body)).join(' ');
    if (request.headers['webhook-signature'] !== expected) this.faults.push(`signature of ${id}`);
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 60) this.faults.push(`time of ${id}`);
    if (request.headers['content-type'] !== 'application/json') this.faults.push(`type of ${id}`);
    const { type, data } = JSON.parse(body);
    const one = { id, body, type, job: data.id, data, url: request.url, method: request.method };
    this.tries.push(one);
    this.most = Math.max(this.most, ++this.open);
    const answer = await this.answer(one, this.tries.filter((other) => other.id === id).length);
    this.open--;
    one.status = answer.status ?? answer;
    response.writeHead(one.status, answer.headers).end('thank you');
  }

  // Waits for so many that were taken; nothing that came had a fault.
  async has(count, what = () => true) {
    await waitFor(() => this.accepted.filter(what).length >= count, `${count} webhooks`);
    assert.deepEqual(this.faults, []);
    return this.accepted.filter(what);
  }
}
