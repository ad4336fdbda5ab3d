// An upload as the clients of the chunked API do it, step by step.
import assert from 'node:assert/strict';
import http from 'node:http';

import { waitFor } from './wait.mjs';

export class Upload {
  // Creates the video record.
  static async create(server, { bytes, chunks = 4, token, title = 'A clip', fileName = 'clip.mp4' }) {
    token ??= await server.token();
    const answer = await server.post(
      '/streaming/create-video/',
      { title, fileName, fileSize: bytes.length },
      token,
    );
    assert.equal(answer.status, 201, answer.text);
    return new Upload(server, { id: answer.json.id, bytes, chunks, token, fileName });
  }

  constructor(server, fields) {
    Object.assign(this, { server, ...fields });
  }

  get indexes() {
    return [...Array(this.chunks).keys()];
  }

  chunk(index) {
    const size = Math.ceil(this.bytes.length / this.chunks);
    return this.bytes.subarray(index * size, (index + 1) * size);
  }

  askUrl(index, totalChunks = this.chunks) {
    return this.server.post(
      '/streaming/get-chunk-upload-url/',
      { videoId: this.id, chunkIndex: index, totalChunks },
      this.token,
    );
  }

  async url(index) {
    const answer = await this.askUrl(index);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.upload_url;
  }

  async tryPut(index, body = this.chunk(index)) {
    return this.server.request(await this.url(index), {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream' },
    });
  }

  async put(index, body) {
    const answer = await this.tryPut(index, body);
    assert.ok(answer.status >= 200 && answer.status < 300, `PUT: ${answer.status} ${answer.text}`);
    return answer;
  }

  async putAll(indexes = this.indexes) {
    for (const index of indexes) await this.put(index);
    return this;
  }

  // Sends `sent` bytes of a chunk and cuts the connection.
  async putBroken(index, sent) {
    const body = this.chunk(index);
    const url = await this.url(index);
    await new Promise((resolve, reject) => {
      const request = http.request(url, {
        method: 'PUT',
        agent: false,
        headers: { 'content-length': body.length, 'content-type': 'application/octet-stream' },
      });
      request.on('error', resolve);
      request.on('response', () => reject(new Error('half a chunk was answered')));
      request.write(body.subarray(0, sent), () => request.destroy());
    });
  }

  async status() {
    const answer = await this.server.get(`/streaming/uploads/${this.id}`, this.token);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  // Indexes of the chunks that the server has.
  async present() {
    return (await this.status()).chunks.map((chunk) => chunk.index).sort((a, b) => a - b);
  }

  tryAssemble(body = { videoId: this.id, fileName: this.fileName }) {
    return this.server.post('/streaming/assemble-chunks/', body, this.token);
  }

  async assemble() {
    const answer = await this.tryAssemble();
    assert.equal(answer.status, 202, answer.text);
    return this;
  }

  watch() {
    return this.server.watchStream(this.id, this.token);
  }

  job() {
    return this.server.job(this.id, this.token);
  }

  // The job when it has reached one of the states.
  async reach(...states) {
    let seen;
    return waitFor(
      async () => {
        seen = await this.job();
        return seen && states.includes(seen.state) ? seen : undefined;
      },
      `job ${this.id} to be ${states.join(' or ')}`,
      { timeout: 180_000, every: 50 },
    );
  }

  async complete() {
    const job = await this.reach('completed', 'failed', 'cancelled');
    assert.equal(job.state, 'completed', JSON.stringify(job));
    return job;
  }
}

// A video from its bytes to its published form; the finished job.
export async function publish(server, options) {
  const upload = await Upload.create(server, options);
  await upload.putAll();
  await upload.assemble();
  return { upload, job: await upload.complete() };
}
