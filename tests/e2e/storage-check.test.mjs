// `reelay storage check` says of a bucket what a server would find out by and by.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';

import { azuriteDuring, swiftDuring, through } from '../support/buckets.mjs';
import { remains } from '../support/direct.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { reelay, Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const check = (...args) => reelay(['storage', 'check', '--storage-patience', '2s', ...args]);
const ORIGIN = ['--origin', 'https://page.example'];

test('a bucket that does everything is left as it was', async (t) => {
  const swift = await swiftDuring(t);
  const relay = await faultyBefore(t, swift);
  const { status, stdout } = await check(...ORIGIN, through(swift.url, swift, relay.origin));
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^s3:\/\/\S+ at http.*, below reelay-check-[0-9a-f]{16}\/$/m);
  assert.match(stdout, /^ {2}ok {6}a client uploads a part by a signed URL: preflight$/m);
  assert.match(stdout, /all is well\n$/);
  assert.doesNotMatch(stdout, /FAILED|testing/);
  const paths = relay.requests.map(({ path }) => decodeURIComponent(path));
  assert.ok(paths.every((path) => path.includes('reelay-check-')), paths.join('\n'));
});

test('what is refused is named, with the permission that is missing', async (t) => {
  const swift = await swiftDuring(t);
  const relay = await faultyBefore(t, swift);
  relay.refuse({ status: 403, matching: ({ method, path }) => method === 'DELETE' && path.includes('uploadId=') });
  relay.refuse({ status: 403, matching: ({ path }) => path.includes('uploads=') && path.includes('max-uploads') });
  const { status, stdout } = await check(through(swift.url, swift, relay.origin));
  assert.equal(status, 1);
  assert.match(stdout, /FAILED {2}list multipart uploads: .*\n {10}needs s3:ListBucketMultipartUploads/);
  assert.match(stdout, /FAILED {2}give a multipart upload up: .*\n {10}needs s3:AbortMultipartUpload/);
  assert.match(stdout, /^3 FAILED$/m);
});

test('what could not be completed is given up', async (t) => {
  const swift = await swiftDuring(t);
  const relay = await faultyBefore(t, swift);
  relay.refuse({ status: 403, matching: ({ method, path }) => method === 'GET' && path.includes('uploadId=') });
  const { status, stdout } = await check(through(swift.url, swift, relay.origin));
  assert.equal(status, 1);
  assert.match(stdout, /FAILED {2}list the parts: /);
  assert.deepEqual(await remains(swift, 'reelay-check-'), []);
});

test('with the wrong secret nothing else is tried', async (t) => {
  const swift = await swiftDuring(t);
  const { status, stdout } = await check(swift.url.replace('testing', 'guessed'));
  assert.equal(status, 1);
  assert.match(stdout, /FAILED {2}write an object: .*\n {10}the credentials are not right, or not for this bucket\n1 FAILED\n$/);
  assert.doesNotMatch(stdout, /guessed/);
});

test('with the wrong region it is the region', async (t) => {
  const swift = await swiftDuring(t);
  const elsewhere = swift.url.replace('region=us-east-1', 'region=eu-west-1');
  const { status, stdout } = await check(elsewhere);
  assert.equal(status, 1);
  assert.match(stdout, /FAILED {2}write an object: .*'eu-west-1' is wrong; expecting 'us-east-1'.*\n {10}the region or the endpoint is not the bucket's\n1 FAILED\n$/);
  const server = await Server.during(t, { args: ['--storage', elsewhere] });
  await waitFor(() => server.log.includes('event=storage_trouble'), 'the log to say so');
  assert.equal((await server.get('/health')).json.status, 'degraded');
});

// What the bucket says of other origins is kept back.
async function muteBefore(t, bucket) {
  const to = new URL(bucket.endpoint);
  const server = http.createServer((request, answer) => {
    const { method, url, headers } = request;
    const onward = http.request({ host: to.hostname, port: to.port, method, path: url, headers, agent: false }, (back) => {
      const kept = Object.entries(back.headers).filter(([name]) => !name.startsWith('access-control-'));
      answer.writeHead(back.statusCode, Object.fromEntries(kept));
      back.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    request.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

test('a bucket that lets no page in: the rule that would', async (t) => {
  const swift = await swiftDuring(t);
  const { status, stdout } = await check(...ORIGIN, through(swift.url, swift, await muteBefore(t, swift)));
  assert.equal(status, 1, stdout);
  assert.match(stdout, /FAILED {2}a client reads an object by a signed URL: CORS: the bucket does not let pages of that origin in/);
  assert.match(stdout, /FAILED {2}a client uploads a part by a signed URL: preflight: CORS/);
  assert.match(stdout, /"AllowedOrigins": \["https:\/\/page\.example"\]/);
});

test('an origin that no browser sends is refused before anything is tried', async () => {
  for (const origin of ['app.example.com', 'https://app.example.com/', '*']) {
    const { status, stderr, stdout } = await check('--origin', origin, 's3://K:S@bucket');
    assert.equal(status, 2, stdout);
    assert.match(stderr, /--origin: .* is not an origin as browsers send it, such as https:\/\/app\.example\.com/);
  }
});

test('a container of Azure does all of it, too', async (t) => {
  const azurite = await azuriteDuring(t);
  const { status, stdout } = await check(azurite.url);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^ {2}ok {6}a client uploads a part by a signed URL$/m);
});
