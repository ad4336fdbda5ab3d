// The protocol of resumable uploads, word by word, and a relay that breaks it off.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

import { waitFor } from './wait.mjs';

export const base64 = (text) => Buffer.from(text).toString('base64');
export const digest = (bytes, name = 'sha256', as = 'hex') => createHash(name).update(bytes).digest(as);

const octets = { 'content-type': 'application/offset+octet-stream' };

// One request, with the version unless it is taken out.
export function tus(server, method, target, { headers = {}, ...rest } = {}) {
  const all = { 'tus-resumable': '1.0.0', ...headers };
  for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
  return server.request(target, { method, headers: all, ...rest });
}

// An upload made and sent by hand.
export class TusUpload {
  static async create(server, { length, headers = {}, token, body } = {}) {
    const answer = await tus(server, 'POST', '/files/', {
      headers: { ...(length === undefined ? {} : { 'upload-length': length }), ...(body ? octets : {}), ...headers },
      token,
      body,
    });
    assert.equal(answer.status, 201, answer.text);
    return new TusUpload(server, answer.headers.location, token, answer);
  }

  constructor(server, location, token, created) {
    Object.assign(this, { server, location, token, created });
  }

  get id() {
    return this.location.split('/').at(-1);
  }

  ask(method, options = {}) {
    return tus(this.server, method, this.location, { token: this.token, ...options });
  }

  // The job, when its video is made.
  async complete() {
    const job = await waitFor(async () => {
      const seen = await this.job();
      return ['completed', 'failed'].includes(seen?.state) && seen;
    }, 'the job to end', { timeout: 120_000 });
    assert.equal(job.state, 'completed', JSON.stringify(job));
    return job;
  }

  head() {
    return this.ask('HEAD');
  }

  async offset() {
    const answer = await this.head();
    assert.equal(answer.status, 200);
    return Number(answer.headers['upload-offset']);
  }

  patch(offset, body, headers = {}) {
    return this.ask('PATCH', { headers: { ...octets, 'upload-offset': offset, ...headers }, body });
  }

  async send(offset, body, headers) {
    const answer = await this.patch(offset, body, headers);
    assert.equal(answer.status, 204, answer.text);
    assert.equal(Number(answer.headers['upload-offset']), offset + body.length);
    return answer;
  }

  // A PATCH that stays unfinished: { request, answered }.
  hang(offset, bytes, length) {
    const headers = { ...octets, 'tus-resumable': '1.0.0', 'upload-offset': offset, 'content-length': length };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const request = http.request(new URL(this.location, this.server.origin), { method: 'PATCH', agent: false, headers });
    const answered = new Promise((resolve) => {
      request.on('response', (answer) => resolve(answer.resume().statusCode));
      request.on('error', () => resolve(null));
    });
    const sent = new Promise((resolve) => request.write(bytes, resolve));
    return { request, answered, sent };
  }

  // Bytes that have come and do not count yet.
  receiving() {
    if (!existsSync(this.folder)) return 0;
    const names = readdirSync(this.folder).filter((name) => name.endsWith('.tmp'));
    return names.reduce((sum, name) => sum + (statSync(path.join(this.folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
  }

  job() {
    return this.server.job(this.id, this.token);
  }

  get folder() {
    return path.join(this.server.dataDir, 'uploads', this.id);
  }

  // The bytes that count, as they lie on the disk: also while a server renames and removes.
  stored() {
    for (;;) {
      if (!existsSync(this.folder)) return Buffer.alloc(0);
      try {
        return this.#read();
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
    }
  }

  #read() {
    const names = readdirSync(this.folder).filter((name) => /^\d{6}(\.\d+\.part)?$/.test(name)).sort();
    return Buffer.concat(names.map((name) => {
      const bytes = readFileSync(path.join(this.folder, name));
      return name.endsWith('.part') ? bytes.subarray(0, Number(name.split('.')[1])) : bytes;
    }));
  }
}

// Between a client and a server: cuts connections when `cuts` says so, of so many bytes
// that went up; it is given how many were cut so far.
export class Relay {
  static async during(t, server, cuts = () => Infinity) {
    const relay = Object.assign(new Relay(), { server, cuts, broken: 0, pairs: new Set() });
    relay.listener = net.createServer((client) => relay.#join(client));
    await new Promise((resolve) => relay.listener.listen(0, '127.0.0.1', resolve));
    t.after(() => relay.end());
    return relay;
  }

  get origin() {
    return `http://127.0.0.1:${this.listener.address().port}`;
  }

  #join(client) {
    const upstream = net.connect(this.server.port, '127.0.0.1');
    const pair = [client, upstream];
    const end = () => {
      this.pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    let left = this.cuts(this.broken);
    this.pairs.add(pair);
    for (const socket of pair) socket.on('error', end).on('close', end);
    upstream.on('data', (bytes) => client.write(bytes));
    client.on('data', (bytes) => {
      upstream.write(bytes.subarray(0, Math.min(bytes.length, left)));
      left -= bytes.length;
      if (left > 0) return;
      this.broken++;
      // What was passed on arrives, and then no more.
      client.destroy();
      upstream.end();
      setImmediate(end);
    });
  }

  end() {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
    this.listener.close();
  }
}
