// Asking for downloads, and what holds for each.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { waitFor } from './wait.mjs';

export const ALLOW = ['--download-allow', '127.0.0.1'];

export const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const files = (folder) => (existsSync(folder) ? readdirSync(folder, { recursive: true }) : []);
export const ended = ({ data }) => ['completed', 'failed'].includes(data?.status);

// The same video with `size` bytes that mean nothing behind it (a "free" box).
export function padded(bytes, size) {
  const box = Buffer.alloc(size);
  for (let i = 8; i + 4 <= size; i += 4096) box.writeUInt32BE(i, i);
  box.writeUInt32BE(size);
  box.write('free', 4);
  return Buffer.concat([bytes, box]);
}

export async function ask(server, body, token) {
  const answer = await server.post('/api/download', body, token);
  assert.equal(answer.status, 202, answer.text);
  assert.equal(answer.json.status, 'queued');
  return answer.json.jobId;
}

// Asks for it and follows it to its end: { id, data, messages }.
export async function download(server, body) {
  const id = await ask(server, body);
  const watcher = await server.watchDownload(id);
  const { data } = await watcher.until(ended, `the end of ${id}`, { timeout: 120_000 });
  watcher.drop();
  return { id, data, messages: watcher.messages.map((message) => message.data) };
}

export async function completed(server, body) {
  const found = await download(server, body);
  assert.equal(found.data.status, 'completed', JSON.stringify(found.data));
  return found;
}

export async function refused(server, body) {
  const found = await download(server, body);
  assert.equal(found.data.status, 'failed', JSON.stringify(found.data));
  return found.data.error;
}

export function isMonotone(numbers) {
  numbers.reduce((last, one) => {
    assert.ok(one >= last, `${numbers.join(' ')}`);
    return one;
  }, 0);
}

export async function isSame(server, data, bytes) {
  const answer = await server.get(data.downloadUrl);
  assert.equal(answer.status, 200);
  assert.equal(digest(answer.body), digest(bytes));
  assert.equal(data.fileSize, bytes.length);
  return answer;
}

export const nothingLeft = (server, id) =>
  waitFor(
    () => files(path.join(server.dataDir, 'work')).length === 0 &&
      !files(path.join(server.dataDir, 'media')).some((name) => name.includes(id)),
    'nothing to be left of it',
  );
