// Who has files where the rest of its fleet does not look takes no part in it.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { swiftDuring } from '../support/buckets.mjs';
import { clipBytes } from '../support/clips.mjs';
import { metrics } from '../support/metrics.mjs';
import { Redis } from '../support/redis-server.mjs';
import { Server, reelay, temporaryFolder } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { Worker } from '../support/worker.mjs';
import { waitFor } from '../support/wait.mjs';

function folder(t) {
  const made = temporaryFolder();
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

async function begin(server) {
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 1 }) });
  await upload.putAll();
  return upload.assemble();
}

const bucket = (at) => `file://${path.join(at, 'bucket')}`;

test('a worker with another folder takes no job and says so', async (t) => {
  const redis = await Redis.during(t);
  const server = await Server.during(t, { args: ['--engine', redis.url] });
  await waitFor(() => server.log.includes('event=redis_up'), 'the server to reach Redis');
  const upload = await begin(server);
  const other = await reelay(['worker', '--engine', redis.url, '--data-dir', folder(t)]);
  assert.equal(other.status, 1);
  assert.match(other.stderr, /reelay worker: --data-dir: \S+ is another folder than that of the other nodes of this Redis/);
  assert.match(other.stderr, /redis-cli DEL \{reelay\}:storage/);
  assert.doesNotMatch(other.stderr, /job_retried|job_failed/);
  await Worker.during(t, { redis, dataDir: server.dataDir });
  await upload.complete();
});

test('a server with another storage than its fleet ends, and what it was to be', async (t) => {
  const redis = await Redis.during(t);
  const storage = bucket(folder(t));
  const server = await Server.during(t, { args: ['--engine', redis.url] });
  await waitFor(() => server.log.includes('event=redis_up'), 'the server to reach Redis');
  const other = await reelay(['serve', '--listen', '127.0.0.1:0', '--engine', redis.url, '--data-dir', folder(t),
    '--storage', storage, '--jwt-secret', 'shared among all of the servers of this fleet']);
  assert.equal(other.status, 1);
  assert.match(other.stderr, /the other nodes of this Redis have their files in folder [0-9a-f]{64}, this one/);
});

test('with a bucket nodes have folders of their own', async (t) => {
  const redis = await Redis.during(t);
  const more = ['--storage', bucket(folder(t))];
  const args = ['--engine', redis.url, '--jwt-secret', 'shared among all of the servers of this fleet', ...more];
  const server = await Server.during(t, { args });
  const second = await Server.during(t, { args });
  assert.notEqual(server.dataDir, second.dataDir);
  const worker = await Worker.during(t, { redis, dataDir: folder(t), args: more });
  await waitFor(() => [server, second, worker].every((node) => node.log.includes('event=redis_up')), 'Redis to be reached');
  const health = (await server.get('/health')).json;
  assert.equal(health.storage, 'disk');
  assert.match(server.log, /event=storage provider=disk where=/);
  const own = await reelay(['serve', '--listen', '127.0.0.1:0', '--data-dir', server.dataDir, ...args]);
  assert.equal(own.status, 1);
});

test('options that do not fit each other are refused before anything begins', async (t) => {
  const at = folder(t);
  const refused = async (args, why) => {
    const said = await reelay(['serve', '--listen', '127.0.0.1:0', '--data-dir', at, ...args]);
    assert.equal(said.status, 1);
    assert.match(said.stderr, why);
  };
  await refused(['--storage', bucket(at), '--engine', 'redis://127.0.0.1:1'], /same --jwt-secret/);
  await refused(['--storage', bucket(at), '--engine', 'redis://127.0.0.1:1', '--jwt-jwks-file', '/dev/null'], /same --url-secret/);
  await refused(['--storage-public-url', 'https://cdn.example.com'], /say which one with --storage/);
  await refused(['--storage', bucket(at), '--storage-public-url', 'cdn.example.com'], /is not a URL such as/);
  await refused(['--storage', 'ftp://somewhere'], /--storage: /);
  await refused(['--storage', 's3://K:S@bucket?regoin=eu'], /--storage: .*"regoin"/);
  await refused(['--storage', bucket(at), '--storage-ca-file', path.join(at, 'none.pem')], /--storage-ca-file: .*none\.pem: No such file/);
  await refused(['--download-allow', 'media lan'], /--download-allow: "media lan" is no host name/);
});

test('what is wrong with an option is said with its name, and what is allowed', async (t) => {
  const at = folder(t);
  const file = path.join(at, 'a file');
  writeFileSync(file, '');
  const refused = async (args, why, env) => {
    const { status, stderr } = await reelay(['serve', '--listen', '127.0.0.1:0', '--data-dir', at, ...args], { env });
    assert.notEqual(status, 0);
    assert.match(stderr, why);
  };
  await refused(['--listen', '3001'], /--listen: "3001" is not an address and port such as/);
  await refused(['--data-dir', file], /a file: not a folder/);
  await refused(['--jwt-secret', 'short'], /--jwt-secret: the secret has 5 bytes, HS256 needs at least 32/);
  await refused(['--jwt-key-file', path.join(at, 'none')], /--jwt-key-file: .*none: No such file/);
  await refused(['--jwt-jwks-file', file], /--jwt-jwks-file: /);
  await refused(['--url-secret', 'short'], /--url-secret: it has 5 bytes, upload URLs are signed with 32 or more/);
  await refused(['--url-ttl', '0'], /--url-ttl: 0 is out of range, which is 1s to 7d/);
  await refused([], /--max-chunk: "x" is not a size such as .* \(REELAY_MAX_CHUNK\)/, { REELAY_MAX_CHUNK: 'x' });
  await refused([], /--cors-origin: "x" is not an origin .* \(ALLOWED_ORIGINS\)/, { ALLOWED_ORIGINS: 'x' });
  await refused([], /--jwt-secret: the secret has 5 bytes.* \(JWT_SECRET\)/, { JWT_SECRET: 'short' });
});

test('a bucket that lets nobody in is known from the start', async (t) => {
  const swift = await swiftDuring(t);
  const server = await Server.during(t, { args: ['--storage', swift.wrong] });
  await waitFor(() => server.log.includes('event=storage_trouble reason=DENIED'), 'the log to say so');
  const { json } = await server.get('/health');
  assert.equal(json.status, 'degraded');
  assert.equal(json.storage_trouble, 'not allowed');
  assert.equal((await metrics(server)).get('reelay_storage_requests_total{outcome="failed"}'), 1);
  assert.ok(!server.log.includes(new URL(swift.wrong).password), 'the log has the secret');
  const missing = await Server.during(t, { args: ['--storage', swift.missing] });
  await waitFor(() => missing.log.includes('event=storage_trouble reason=MISSING'), 'the log to say so');
});

test('a bucket that does well is told of as such', async (t) => {
  const swift = await swiftDuring(t);
  const server = await Server.during(t, { args: ['--storage', swift.url] });
  const requests = 'reelay_storage_requests_total{outcome="good"}';
  await waitFor(async () => (await metrics(server)).get(requests) > 0, 'a request to the bucket');
  assert.equal((await server.get('/health')).json.status, 'ok');
  const upload = await begin(server);
  await upload.complete();
  assert.ok((await metrics(server)).get('reelay_storage_bytes_total{direction="sent"}') > 0);
  assert.ok((await metrics(server)).get('reelay_storage_bytes_total{direction="received"}') > 0);
  assert.ok(!server.log.includes('storage_trouble'), server.log);
});
