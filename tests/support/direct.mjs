// Uploads straight to a bucket, Swift's: what is sent there, and what is left there.
import assert from 'node:assert/strict';

import { request } from './http.mjs';
import { Upload } from './upload.mjs';
import { waitFor } from './wait.mjs';

export const MiB = 1024 * 1024;

// Asks Swift itself, below the S3 that it speaks.
async function swiftSays(swift, target, options = {}) {
  const { headers } = await request(`${new URL(swift.endpoint).origin}/auth/v1.0`, {
    headers: { 'x-storage-user': 'test:tester', 'x-storage-pass': 'testing' },
  });
  return request(`${headers['x-storage-url']}/${target}`,
    { ...options, headers: { 'x-auth-token': headers['x-auth-token'] } });
}

// An object, as it is; and made another one.
export const getObject = (swift, key) => swiftSays(swift, `${swift.bucket}/${key}`);
export async function putObject(swift, key, body) {
  const answer = await swiftSays(swift, `${swift.bucket}/${key}`, { method: 'PUT', body });
  assert.equal(answer.status, 201, answer.text);
}

// What lies below uploads/ in the bucket, multipart uploads included, as Swift itself tells.
export async function remains(swift, prefix = 'uploads/') {
  const all = [];
  for (const container of [swift.bucket, `${swift.bucket}+segments`]) {
    const answer = await swiftSays(swift, `${encodeURIComponent(container)}?format=json&prefix=${prefix}`);
    if (answer.status === 200) all.push(...answer.json.map(({ name }) => `${container}/${name}`));
  }
  return all;
}

export const nothingRemains = (swift, upload) => waitFor(
  async () => (await remains(swift, `uploads/${upload.id}/`)).length === 0,
  `nothing of ${upload.id} to be left in the bucket`,
);

// An upload whose chunks have a size, and which may keep the file's to itself.
export class Direct extends Upload {
  static async create(server, { bytes, swift, size = 5 * MiB, declares = false, answers = 200, title = 'A clip' }) {
    const token = await server.token();
    const answer = await server.post('/streaming/create-video/',
      { title, ...(declares ? { fileSize: bytes.length } : {}) }, token);
    assert.equal(answer.status, 201, answer.text);
    const chunks = Math.ceil(bytes.length / size);
    return new Direct(server, { id: answer.json.id, bytes, swift, size, answers, chunks, token, fileName: 'clip.mp4' });
  }

  chunk(index) {
    return this.bytes.subarray(index * this.size, (index + 1) * this.size);
  }

  async putTo(url, body) {
    const answer = await request(url, { method: 'PUT', body, headers: { 'content-type': 'application/octet-stream' } });
    assert.equal(answer.status, this.answers, answer.text);
    return answer;
  }

  async put(index, body = this.chunk(index)) {
    const url = await this.url(index);
    assert.equal(new URL(url).origin, new URL(this.swift.endpoint).origin, 'it is not the bucket\'s');
    return this.putTo(url, body);
  }

  async finish() {
    await this.assemble();
    const job = await this.complete();
    assert.equal(job.state, 'completed');
    return job;
  }
}

export const isPart = (url) => new URL(url).searchParams.has('partNumber');
export const sizes = async (upload) =>
  Object.fromEntries((await upload.status()).chunks.map(({ index, size }) => [index, size]));
