// The same with a real bucket: what goes there while ffmpeg runs, what a server that was
// cut down need not send again, what a bucket does that fails, and what a browser plays.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { startSwift, through } from '../support/buckets.mjs';
import { clip, clipBytes } from '../support/clips.mjs';
import { Faulty } from '../support/faulty.mjs';
import { verify } from '../support/hls.mjs';
import { goOn, hold, paced } from '../support/pace.mjs';
import { grown, treeOf } from '../support/segments.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 30;
const SLOW = ['--preset', 'slow']; // so that it can be interrupted

let swift;
before(async () => {
  swift = await startSwift();
});
after(() => swift.stop());

async function begin(server, options) {
  const upload = await Upload.create(server, options);
  await upload.putAll();
  return upload.assemble();
}

const long = async (server) =>
  begin(server, { bytes: readFileSync(await clip({ seconds: SECONDS, size: '640x480', rate: 15 })) });

// A server, and what stands between it and the bucket.
async function serve(t, args = []) {
  const relay = await new Faulty(swift.endpoint).listen();
  const server = await Server.during(t, { args: ['--storage', through(swift.url, swift, relay.origin), ...args] });
  t.after(() => relay.stop()); // behind the server, which has to clear away
  const puts = (pattern) => relay.requests
    .filter(({ method, path }) => method === 'PUT' && pattern.test(path))
    .map(({ path }) => path.split('?')[0]);
  return { relay, server, puts };
}

const SEGMENT = /\/videos\/hls\/.*\/s\d+\.m4s/;
const PLAYLIST = /\/videos\/hls\/.*\.m3u8/;

test('segments are in the bucket while it is converted, playlists come last', async (t) => {
  const { server, puts } = await serve(t, SLOW);
  const upload = await long(server);
  await paced(server, () => waitFor(() => puts(SEGMENT).length >= 4, 'segments on their way', { timeout: 120_000, every: 5 }));
  const held = hold(server);
  assert.ok(held.length > 0, 'the conversion was over too soon');
  assert.equal((await upload.job()).state, 'processing');
  assert.deepEqual(puts(PLAYLIST), []);
  goOn(held);
  const job = await upload.complete();
  const order = puts(/\/videos\/hls\//);
  const first = order.findIndex((path) => PLAYLIST.test(path));
  assert.ok(order.slice(first).every((path) => PLAYLIST.test(path)), 'playlists come last');
  assert.match(order.at(-1), /\/master\.m3u8$/);
  assert.equal(order.length, new Set(order).size, 'nothing is sent twice');
  await verify(server, job, SECONDS);
});

test('of a bucket nothing but what is published is given out', async (t) => {
  const { relay, server } = await serve(t);
  const upload = await Upload.create(server, { bytes: await clipBytes() });
  await upload.putAll();
  relay.requests.length = 0;
  const key = `uploads/${upload.id}/chunks/000000`;
  const paths = [
    `/videos/../${key}`, `/videos/%2e%2e/${key}`, `/videos/..%2f${key}`, `/videos/hls/..%2f..%2f${key}`, `/videos/%252e%252e/${key}`,
    `/videos//${key}`, `/videos/./../${key}`, `/videos/..\\${key}`, `/videos/x/../../${key}.m3u8`, `/videos/%2e%2e/${key}.m3u8`,
    `/videos/..%00/${key}`, `/videos/a%0d%0aX-Y:%20z`, `/videos/%ff%fe`, '/videos/', `/videos/${'a/'.repeat(2000)}b`,
  ];
  for (const path of paths) {
    const { status, headers } = await server.request(path);
    // What is below videos/ by its name is nobody's secret, whatever else is in the name.
    const { location } = headers;
    if (location) assert.ok(new URL(location).pathname.split('/').includes('videos') && !/\/\.\.?(\/|$)|%2e|%2f/i.test(location.split('?')[0]), `${path}: ${location}`);
    else assert.ok(status >= 400, `${path}: ${status}`);
    assert.equal(headers['x-y'], undefined);
  }
  assert.deepEqual(relay.requests.filter(({ path }) => path.includes('/uploads/')), []);
});

test('what a server that was cut down had sent is not sent again', async (t) => {
  const { relay, server, puts } = await serve(t, SLOW);
  const upload = await long(server);
  const stored = () => relay.requests
    .filter(({ method, path, status }) => method === 'PUT' && SEGMENT.test(path) && status < 300)
    .map(({ path }) => path.split('?')[0]);
  await paced(server, () => waitFor(() => stored().length >= 4, 'segments in the bucket', { timeout: 120_000, every: 5 }));
  const before = stored();
  await server.kill();
  relay.requests.length = 0;
  await server.start();
  const job = await upload.complete();
  const again = new Set(puts(SEGMENT));
  assert.deepEqual(before.filter((path) => again.has(path)), []);
  await verify(server, job, SECONDS);
});

test('a bucket that is away for a while costs time only', async (t) => {
  const { relay, server, puts } = await serve(t);
  const isOfTree = ({ path }) => path.includes('/videos/hls/');
  relay.refuse({ seconds: 3, matching: isOfTree });
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 6 }) });
  relay.reset({ count: 2, bytes: 1000, matching: (request) => request.method === 'PUT' && isOfTree(request) });
  const job = await upload.complete();
  assert.ok(puts(SEGMENT).length > 0);
  await verify(server, job, 6);
});

test('a bucket that refuses fails the job, and says why', async (t) => {
  const { relay, server } = await serve(t);
  relay.refuse({ status: 403, matching: ({ method, path }) => method === 'PUT' && path.includes('/videos/hls/') });
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 2 }) });
  const job = await upload.reach('failed', 'completed');
  assert.equal(job.state, 'failed');
  assert.match(job.error, /^the HLS files could not be stored: /);
  t.diagnostic(job.error);
});

test('a server whose bucket is away ends all the same, and clears away at its next start', async (t) => {
  const { relay, server } = await serve(t, ['--drain-timeout', '1s']);
  const isClearing = ({ method }) => method === 'DELETE';
  relay.refuse({ seconds: 3600, matching: isClearing });
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 1 }) });
  await upload.complete();
  await waitFor(() => relay.requests.some(isClearing), 'it to begin clearing away');
  await server.stop();
  relay.faults.length = 0;
  relay.requests.length = 0;
  await server.start();
  await waitFor(() => relay.requests.some(({ method }) => method === 'DELETE'), 'it to clear away');
});

test('what is made goes to a slow bucket before the conversion ends', async (t) => {
  const { relay, server, puts } = await serve(t, SLOW);
  const upload = await long(server);
  const watcher = await upload.watch();
  relay.slow(80_000); // of each connection
  await paced(server, () => grown(treeOf(server, upload), 4));
  // On any machine: the bucket has the time that it needs.
  const held = hold(server);
  assert.ok(held.length > 0, 'the conversion was over too soon');
  await waitFor(() => puts(SEGMENT).length >= 6, 'three whole segments of each', { timeout: 120_000 });
  assert.equal((await upload.job()).stage, 'converting');
  goOn(held);
  await watcher.until(({ message }) => message === 'Uploading HLS files to storage', 'the end of the conversion', { timeout: 120_000 });
  relay.slow(0);
  await verify(server, await upload.complete(), SECONDS);
});

test('playlists come from the server, all else from the bucket, and pages may read both', async (t) => {
  const { relay, server } = await serve(t);
  const upload = await begin(server, { bytes: await clipBytes({ seconds: 1 }) });
  const job = await upload.complete();
  assert.equal(job.storage, 's3');
  const at = (name) => `${server.origin}/${job.hls_path}/${name}`;
  const get = (url) => fetch(url, { redirect: 'manual', headers: { Origin: 'https://page.example' } });
  const master = await get(at('master.m3u8'));
  assert.equal(master.headers.get('access-control-allow-origin'), '*');
  assert.match(master.headers.get('cache-control'), /^public, max-age=\d+, immutable$/);
  const rendition = /^(\w+)\/index\.m3u8$/m.exec(await master.text())[1];
  const media = await get(at(`${rendition}/index.m3u8`));
  assert.match(media.headers.get('cache-control'), /^private, max-age=\d+$/);
  const uris = (await media.text()).split('\n').filter((line) => line && !line.startsWith('#'));
  assert.ok(uris.every((uri) => uri.startsWith(`${relay.origin}/`) && uri.includes('X-Amz-Signature=')), uris.join('\n'));
  const segment = await get(at(`${rendition}/s00000.m4s`));
  assert.equal(segment.status, 302);
  const there = await get(segment.headers.get('location'));
  assert.equal(there.status, 200);
  assert.ok(there.headers.get('access-control-allow-origin'));
  const head = await fetch(at(`${rendition}/s00000.m4s`), { method: 'HEAD' }); // follows the redirect
  assert.equal(head.status, 200, head.url);
  assert.equal(head.headers.get('content-length'), there.headers.get('content-length'));
  for (const name of ['none.m3u8', '%2e%2e/x.m3u8', `${rendition}/`]) {
    assert.notEqual((await get(at(name))).status, 200, name);
  }
  assert.equal((await get(at('none.m3u8'))).status, 404);
  relay.requests.length = 0;
  assert.equal((await get(at(`${rendition}/index.m3u8`))).status, 200);
  const asked = relay.requests.filter(({ path }) => path.includes('.m3u8')); // what was uploaded may just be cleared away
  assert.deepEqual(asked, [], 'it is kept');
  relay.refuse({});
  const away = await get(at('other.m3u8'));
  assert.equal(away.status, 503);
  assert.equal((await away.json()).error.code, 'storage_away');
});

test('a page uploads to the bucket and plays from it', { timeout: 180_000 }, async (t) => {
  const { server } = await serve(t);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  const fetched = [];
  page.on('response', (response) => fetched.push(`${response.status()} ${response.url()}`));
  page.on('console', (message) => fetched.push(message.text()));
  await page.goto(server.origin);
  await page.setInputFiles('input[type=file]', await clip({ seconds: 6, size: '640x360' }));
  await waitFor(
    () => page.evaluate(() => {
      const video = document.querySelector('video');
      if (!video) return false;
      video.muted = true;
      if (video.paused) video.play().catch(() => {});
      return video.currentTime > 1 && video.videoWidth > 0;
    }),
    () => `the video to play: ${fetched.slice(-12).join('\n')}`,
    { timeout: 120_000 },
  );
  const segments = fetched.filter((line) => /\/s\d+\.m4s/.test(line));
  assert.ok(segments.length > 0);
  assert.ok(segments.every((line) => line.startsWith('200 ') && !line.includes(server.origin)), segments.join('\n'));
});
