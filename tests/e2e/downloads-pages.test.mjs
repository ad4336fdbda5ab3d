// Videos of pages and manifests: the real yt-dlp, in its sandbox, over a site of the
// test's own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { clip } from '../support/clips.mjs';
import { ALLOW, ask, completed, ended, isMonotone, isSame, nothingLeft, refused } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { verify } from '../support/hls.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const run = promisify(execFile);
const SECONDS = 6;
const TYPES = { '.m3u8': 'application/vnd.apple.mpegurl', '.mpd': 'application/dash+xml', '.ts': 'video/mp2t', '.m4s': 'video/iso.segment' };

const html = (body) => Buffer.from(`<!doctype html><html><head><title>A page's title</title></head><body>${body}</body></html>`);

describe('a page', () => {
  let server, folder, video;
  before(async () => {
    server = await Server.start({ args: ALLOW });
    folder = mkdtempSync(path.join(os.tmpdir(), 'reelay-site-'));
    video = await clip({ seconds: SECONDS });
    const ffmpeg = (...args) => run('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-i', video, '-c', 'copy', ...args], { cwd: folder });
    await ffmpeg('-f', 'hls', '-hls_time', '1', '-hls_playlist_type', 'vod', '-hls_segment_filename', 'hls%d.ts', 'index.m3u8');
    await ffmpeg('-f', 'dash', '-seg_duration', '1', 'manifest.mpd');
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await server.end();
  });

  async function site(t, how = {}) {
    const there = await Elsewhere.during(t);
    for (const name of readdirSync(folder))
      there.put(`/${name}`, readFileSync(path.join(folder, name)), { type: TYPES[path.extname(name)] ?? 'video/mp4', ...how[name] });
    return there;
  }

  test('with a video in it gives that, and says what it is', async (t) => {
    const there = await site(t);
    there.put('/clip.mp4', readFileSync(video));
    there.put('/poster.jpg', Buffer.from('x'), { type: 'image/jpeg' });
    const url = there.put('/watch', html('<video poster="/poster.jpg" src="/clip.mp4"></video>'), { type: 'text/html; charset=utf-8', hold: 0 });
    const id = await ask(server, { url });
    const watcher = await server.watchDownload(id);
    await watcher.settle();
    there.release('/watch'); // now that every step is heard
    const { data } = await watcher.until(ended, 'its end', { timeout: 120_000 });
    assert.equal(data.status, 'completed', JSON.stringify(data));
    watcher.drop();
    const messages = watcher.messages.map((message) => message.data);
    isMonotone(messages.map((one) => one.progress));
    const info = messages.find((one) => one.progress === 10).videoInfo;
    assert.match(info.title, /^A page's title/);
    assert.equal(info.thumbnail, there.url('/poster.jpg'));
    assert.equal(data.videoInfo.duration, SECONDS);
    assert.equal(data.videoInfo.quality, '180p');
    await isSame(server, data, readFileSync(video));
  });

  test('may be a playlist of segments', async (t) => {
    const there = await site(t);
    const { data, messages } = await completed(server, { url: there.url('/index.m3u8') });
    isMonotone(messages.map((one) => one.progress));
    assert.equal(data.videoInfo.duration > SECONDS - 0.5 && data.videoInfo.duration < SECONDS + 0.5, true);
    assert.equal((await server.get(data.downloadUrl)).status, 200);
  });

  test('may have picture and sound apart, and is one bar and one file', async (t) => {
    const there = await site(t);
    const { id, data, messages } = await completed(server, { url: there.url('/manifest.mpd'), hls: true });
    const percents = messages.map((one) => one.progress);
    isMonotone(percents);
    await verify(server, await server.job(id), SECONDS);
    assert.ok(there.requests.some((one) => /stream1/.test(one.path)) && there.requests.some((one) => /stream0/.test(one.path)));
    assert.equal(data.status, 'completed');
  });

  test('gives the sound alone when that is asked for', async (t) => {
    const there = await site(t);
    const { data } = await completed(server, { url: there.url('/manifest.mpd'), quality: 'audio' });
    assert.equal(data.videoInfo.quality, 'audio');
    assert.match(data.downloadUrl, /\.(m4a|aac)$/);
  });

  test('without a video is a clear error', async (t) => {
    const there = await site(t);
    const url = there.put('/empty', html('<p>Nothing here.</p>'), { type: 'text/html' });
    assert.match(await refused(server, { url }), /no video was found/);
  });

  test('leads to nowhere that is not allowed', async (t) => {
    const there = await site(t);
    const inside = await Elsewhere.during(t);
    inside.put('/secret.mp4', readFileSync(video));
    const guarded = await Server.during(t, { args: ['--download-allow', `127.0.0.1:${there.port}`] });
    const url = there.put('/watch', html(`<video src="${inside.url('/secret.mp4')}"></video>`), { type: 'text/html' });
    const error = await refused(guarded, { url });
    assert.match(error, /127\.0\.0\.1/);
    assert.equal(inside.requests.length, 0);
  });

  test('stops when the job is cancelled, and leaves nothing', async (t) => {
    const there = await site(t, { 'hls3.ts': { hold: 1000 } });
    const id = await ask(server, { url: there.url('/index.m3u8') });
    await waitFor(() => there.asked('/hls3.ts').some((one) => one.sent >= 1000), 'some of it');
    assert.equal((await server.request(`/api/jobs/${id}`, { method: 'DELETE' })).status, 202);
    await waitFor(async () => (await server.job(id)).state === 'cancelled', 'the cancellation');
    await nothingLeft(server, id);
    await waitFor(() => server.children('yt-dlp').length + server.children('python3').length === 0, 'yt-dlp to be gone');
  });

  test('is gone on with after the server was killed', async (t) => {
    const there = await site(t, { 'hls4.ts': { hold: 1000 } });
    const own = await Server.during(t, { args: ALLOW });
    const id = await ask(own, { url: there.url('/index.m3u8') });
    await waitFor(() => there.asked('/hls4.ts').some((one) => one.sent >= 1000), 'most of it');
    await own.kill();
    await own.start();
    const watcher = await own.watchDownload(id);
    const { data } = await watcher.until(ended, 'its end');
    assert.equal(data.status, 'completed', JSON.stringify(data));
    assert.equal(there.asked('/hls0.ts').length, 1);
    assert.equal(there.asked('/hls4.ts').length, 2);
    watcher.drop();
  });

  test('needs yt-dlp; a file does not', async (t) => {
    const there = await site(t);
    const own = await Server.during(t, { args: [...ALLOW, '--yt-dlp', '/nowhere/yt-dlp'] });
    const error = await refused(own, { url: there.url('/index.m3u8') });
    assert.match(error, /yt-dlp is not installed/);
    await isSame(own, (await completed(own, { url: there.put('/v.mp4', readFileSync(video)) })).data, readFileSync(video));
  });

  test('that is too large is given up', async (t) => {
    const there = await site(t);
    const own = await Server.during(t, { args: [...ALLOW, '--download-max', '100KiB'] });
    assert.match(await refused(own, { url: there.url('/index.m3u8') }), /too large/);
  });
});
