// Buckets as they really are: behind https, with a certificate that somebody signed, and with
// a host for each bucket. Which certificates are taken, and what is said of the others.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { startAzurite, startSwift, through } from '../support/buckets.mjs';
import { bulkyClip, clip, clipBytes } from '../support/clips.mjs';
import { Direct, MiB, isPart, nothingRemains } from '../support/direct.mjs';
import { masterUrl, playlists, verify } from '../support/hls.mjs';
import { request, trust } from '../support/http.mjs';
import { nginxBefore } from '../support/nginx.mjs';
import { Server, reelay } from '../support/server.mjs';
import { Authority } from '../support/tls.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const run = promisify(execFile);
const SECONDS = 8;
const PRESET = ['--preset', 'ultrafast'];

let ca;
let other; // nobody's
let swift;
let virtual;
let bytes;

before(async () => {
  ca = await Authority.make();
  other = await Authority.make();
  trust(ca.pem);
  swift = await startSwift();
  virtual = await startSwift({ isVirtual: true });
  bytes = readFileSync(await bulkyClip());
});
after(async () => {
  await swift?.stop();
  await virtual?.stop();
  ca?.end();
  other?.end();
});

const check = (url, { args = [], env } = {}) =>
  reelay(['storage', 'check', '--storage-patience', '20s', '--origin', 'https://app.example', ...args, url], { env });
const given = (file) => ['--storage-ca-file', file];

// TLS before a bucket: { front, url, endpoint }.
async function secured(t, bucket, how) {
  const front = await ca.before(t, bucket.endpoint, how);
  const { hostname } = new URL(bucket.endpoint);
  const endpoint = `https://${hostname}:${front.port}`;
  return { ...bucket, front, endpoint, url: through(bucket.url, bucket, endpoint) };
}

async function checkIsGood(url, options) {
  const { status, stdout } = await check(url, options);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /all is well\n$/);
}

// Each by a request of its own: chunks, and what becomes of them.
async function publishes(server, bucket, size) {
  const upload = await Direct.create(server, { bytes, swift: bucket, size });
  const urls = await Promise.all(upload.indexes.map((index) => upload.url(index)));
  await Promise.all(upload.indexes.map((index) => upload.putTo(urls[index], upload.chunk(index))));
  const job = await upload.finish();
  return { upload, urls, job };
}

describe('a bucket behind https', () => {
  test('does everything, by signed URLs and for us', { timeout: 180_000 }, async (t) => {
    const bucket = await secured(t, swift);
    await checkIsGood(bucket.url, { args: given(ca.file) });
    const server = await Server.during(t, { args: ['--storage', bucket.url, ...given(ca.file), ...PRESET] });
    for (const size of [5 * MiB, 1 * MiB]) {
      const { upload, urls, job } = await publishes(server, bucket, size);
      assert.ok(urls.every((url) => url.startsWith(`${bucket.endpoint}/`)), urls[0]);
      assert.ok(isPart(urls[0]));
      const { media } = await verify(server, job, SECONDS);
      const segments = media.flatMap((one) => one.segments);
      assert.ok(segments.length > 0 && segments.every((url) => url.startsWith(`${bucket.endpoint}/`)), segments[0]);
      await nothingRemains(swift, upload);
    }
    assert.ok(!server.log.includes('storage_trouble'), server.log);
    assert.equal((await server.get('/health')).json.status, 'ok');
  });

  test('may be known by what the environment trusts', async (t) => {
    const bucket = await secured(t, swift);
    await checkIsGood(bucket.url, { env: { SSL_CERT_FILE: ca.file } });
    // As files of compose have it.
    await checkIsGood(bucket.url, { env: { SSL_CERT_FILE: ca.file, REELAY_STORAGE_CA_FILE: '' } });
  });

  test('is not trusted by what the environment says if a file is given', async (t) => {
    const bucket = await secured(t, swift);
    const { status, stdout } = await check(bucket.url, { args: given(other.file), env: { SSL_CERT_FILE: ca.file } });
    assert.equal(status, 1);
    assert.match(stdout, /its certificate is not trusted: unable to get local issuer certificate/);
  });

  const BAD = [
    ['of nobody we know', {}, [], /unable to get local issuer certificate/],
    ['for another name', { names: ['storage.example'] }, null, /no alternative certificate subject name matches target host name '127\.0\.0\.1'/],
    ['that is over', { isOver: true }, null, /certificate has expired/],
    ['that signed itself', { isOwn: true }, null, /self-signed certificate/],
  ];
  for (const [what, how, args, why] of BAD) {
    test(`is not used with a certificate ${what}, and why is said everywhere`, { timeout: 120_000 }, async (t) => {
      const bucket = await secured(t, swift, how);
      const words = args ?? given(ca.file);
      const { status, stdout } = await check(bucket.url, { args: words });
      assert.equal(status, 1, stdout);
      assert.match(stdout, /FAILED {2}write an object: its certificate is not trusted: /);
      assert.match(stdout, why);
      assert.doesNotMatch(stdout, /needs s3:/);
      assert.equal(bucket.front.connections, 1, 'it is not tried again');
      const server = await Server.during(t, { args: ['--storage', bucket.url, ...words] });
      await waitFor(() => server.log.includes('event=storage_trouble reason=UNTRUSTED'), 'the log to say so');
      assert.match(server.log, why);
      const { json } = await server.get('/health');
      assert.equal(json.status, 'degraded');
      assert.equal(json.storage_trouble, 'its certificate is not trusted');
      const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 1 }), chunks: 1 });
      const refused = await upload.askUrl(0);
      assert.equal(refused.status, 503, refused.text);
    });
  }

  test('is used again when its certificate was renewed', { timeout: 120_000 }, async (t) => {
    const bucket = await secured(t, swift, { isOver: true });
    const server = await Server.during(t, { args: ['--storage', bucket.url, ...given(ca.file), ...PRESET] });
    await waitFor(() => server.log.includes('event=storage_trouble reason=UNTRUSTED'), 'the log to say so');
    const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 1 }), chunks: 1 });
    assert.equal((await upload.askUrl(0)).status, 503);
    bucket.front.show(await ca.certificate());
    await upload.putAll();
    await upload.assemble();
    await upload.complete();
    assert.match(server.log, /event=storage_well/);
    assert.equal((await server.get('/health')).json.status, 'ok');
  });

  test('is sent to by `reelay upload`, which has to trust it too', { timeout: 120_000 }, async (t) => {
    const bucket = await secured(t, swift);
    const server = await Server.during(t, { args: ['--storage', bucket.url, ...given(ca.file), ...PRESET] });
    const upload = async (more, env) => reelay(['upload', '--server', server.origin, '--token', await server.token(), ...more, await clip({ seconds: 1 })], { env });
    const good = await upload(['--ca-file', ca.file]);
    assert.equal(good.status, 0, good.stderr);
    const also = await upload([], { SSL_CERT_FILE: ca.file });
    assert.equal(also.status, 0, also.stderr);
    const bad = await upload([]);
    assert.notEqual(bad.status, 0);
    assert.match(bad.stderr, /its certificate is not trusted: unable to get local issuer certificate/);
  });

  test('that speaks no TLS is named as such', async () => {
    const { status, stdout } = await reelay(['storage', 'check', '--storage-patience', '1s', swift.url.replace('endpoint=http:', 'endpoint=https:')]);
    assert.equal(status, 1);
    assert.match(stdout, /FAILED {2}write an object: it does not speak TLS/);
  });

  test('is not begun with where the certificates to trust are none', async () => {
    const none = path.join(ca.folder, 'none.pem');
    const text = path.join(ca.folder, 'text.pem');
    writeFileSync(text, 'what I trust\n');
    for (const [file, why] of [[none, /--storage-ca-file: \S+none\.pem: No such file/], [text, /--storage-ca-file: \S+text\.pem: there is no certificate in it/]]) {
      for (const words of [['storage', 'check', ...given(file), swift.url], ['serve', '--listen', '127.0.0.1:0', '--storage', swift.url, ...given(file)]]) {
        const { status, stderr } = await reelay(words, { cwd: ca.folder });
        assert.equal(status, 1, stderr);
        assert.match(stderr, why);
      }
    }
  });
});

// As most do who have a load balancer. With connections of both versions libcurl 7.88 gives
// the answer to one request to another: here, to a removal that is under way.
test('a bucket that offers HTTP/2 is spoken to in HTTP/1.1', { timeout: 180_000 }, async (t) => {
  const { files: [cert, key] } = await ca.certificate();
  const log = path.join(ca.folder, 'h2.log');
  const origin = await nginxBefore(t, { origin: swift.endpoint }, (server, port) => `
    log_format protocols '$server_protocol $request_method $status';
    server {
        listen 127.0.0.1:${port} ssl http2;
        ssl_certificate ${cert};
        ssl_certificate_key ${key};
        access_log ${log} protocols;
        client_max_body_size 0;
        location / {
            proxy_pass ${server.origin};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_request_buffering off;
            proxy_buffering off;
        }
    }`);
  const endpoint = origin.replace('http:', 'https:');
  const bucket = { ...swift, endpoint, url: through(swift.url, swift, endpoint) };
  await checkIsGood(bucket.url, { args: given(ca.file) });
  const server = await Server.during(t, { args: ['--storage', bucket.url, ...given(ca.file), ...PRESET] });
  for (const size of [5 * MiB, 1 * MiB]) {
    const { upload, job } = await publishes(server, bucket, size);
    for (let at = 0; at < 10; at++) {
      const { status } = await server.get(`/${job.hls_path}/none${at}/index.m3u8`);
      assert.equal(status, 404);
    }
    await verify(server, job, SECONDS);
    await nothingRemains(swift, upload);
  }
  assert.ok(!server.log.includes('storage_trouble'), server.log);
  const spoken = readFileSync(log, 'utf8');
  for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'HEAD']) assert.ok(spoken.includes(`HTTP/1.1 ${method} 20`), `${method}\n${spoken}`);
  assert.ok(!spoken.includes('HTTP/2'), spoken);
});

// ffprobe cannot resolve what lies below localhost, so it gets what was fetched.
async function isPlayable(server, job, host) {
  for (const { map, segments } of await playlists(server, masterUrl(server, job))) {
    assert.ok(segments.every((url) => new URL(url).host === host), segments[0]);
    const file = path.join(ca.folder, 'fetched.mp4');
    writeFileSync(file, '');
    for (const url of [map, ...segments]) {
      const answer = await request(url);
      assert.equal(answer.status, 200, url);
      appendFileSync(file, answer.body);
    }
    const { stdout } = await run('ffprobe', ['-v', 'error', '-of', 'json', '-show_entries', 'format=duration', file]);
    assert.ok(Math.abs(Number(JSON.parse(stdout).format.duration) - SECONDS) < 0.6, stdout);
  }
}

describe('a bucket that is a host', () => {
  for (const scheme of ['http', 'https']) {
    test(`does everything by ${scheme}`, { timeout: 180_000 }, async (t) => {
      const bucket = scheme === 'http' ? virtual : await secured(t, virtual, { names: ['*.s3.localhost'] });
      const host = `${bucket.bucket}.${new URL(bucket.endpoint).host}`;
      const args = scheme === 'http' ? [] : given(ca.file);
      await checkIsGood(bucket.url, { args });
      const server = await Server.during(t, { args: ['--storage', bucket.url, ...args, ...PRESET] });
      for (const size of [5 * MiB, 1 * MiB]) {
        const own = { ...bucket, endpoint: `${scheme}://${host}` };
        const { upload, urls, job } = await publishes(server, own, size);
        assert.ok(urls.every((url) => url.startsWith(`${scheme}://${host}/uploads/`)), urls[0]);
        await isPlayable(server, job, host);
        await nothingRemains(virtual, upload);
      }
      assert.ok(!server.log.includes('storage_trouble'), server.log);
    });
  }
});

test('a container of Azure behind https', { timeout: 180_000 }, async (t) => {
  const azurite = await startAzurite({ certificate: await ca.certificate() });
  t.after(azurite.stop);
  const { url } = azurite;
  assert.match(url, /endpoint=https:/);
  await checkIsGood(url, { args: given(ca.file) });
  const { status, stdout } = await check(url);
  assert.equal(status, 1);
  assert.match(stdout, /its certificate is not trusted: self-signed certificate in certificate chain/);
  const server = await Server.during(t, { args: ['--storage', url, ...given(ca.file), ...PRESET] });
  const upload = await Direct.create(server, { bytes, swift: azurite, size: 4 * MiB, answers: 201 });
  await upload.putAll();
  await verify(server, await upload.finish(), SECONDS);
});
