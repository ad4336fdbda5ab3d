// Videos that lie elsewhere: files over good and bad connections, and what is refused.
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { clipBytes } from '../support/clips.mjs';
import { ALLOW, ask, completed, digest, download, ended, isMonotone, isSame, nothingLeft, padded, refused } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { verify } from '../support/hls.mjs';
import { Server, reelay } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const MiB = 1024 * 1024;

describe('a URL of a file', () => {
  let server, bytes;
  before(async () => {
    server = await Server.start({ args: ALLOW });
    bytes = await clipBytes({ seconds: 4 });
  });
  after(() => server.end());

  test('becomes a file here, and the job says how far it is as the document has it', async (t) => {
    const there = await Elsewhere.during(t);
    const video = padded(bytes, 4 * MiB);
    const url = there.put('/some/holiday%20video.mp4', video, { hold: [0, MiB] });
    const all = await server.watchAll();
    const id = await ask(server, { url });
    const watcher = await server.watchDownload(id);
    await watcher.settle();
    there.release('/some/holiday%20video.mp4'); // now that every step is heard
    await watcher.until((m) => m.data.progress > 15, 'bytes to be heard of');
    const { json } = await server.get(`/api/status/${id}`);
    assert.equal(json.status, 'processing');
    assert.ok(json.progress > 15 && json.progress < 89, json.progress);
    await all.until((m) => m.video_id === id && m.downloaded_bytes > 0 && m.total_bytes === video.length, 'bytes at /ws/progress');
    there.release('/some/holiday%20video.mp4');
    const { data } = await watcher.until(ended, 'its end');
    const heard = watcher.messages.map((message) => message.data);
    isMonotone(heard.map((one) => one.progress));
    for (const percent of [5, 10, 90, 92, 98, 100])
      if (percent > 5) assert.ok(heard.some((one) => one.progress === percent), `${percent} in ${heard.map((one) => one.progress)}`);
    const info = heard.find((one) => one.progress === 10).videoInfo;
    assert.equal(info.title, 'holiday video');
    assert.equal(info.thumbnail, null);
    assert.deepEqual(data.videoInfo, { id, title: 'holiday video', thumbnail: null, duration: 4, quality: '180p' });
    assert.equal(data.storageProvider, 'disk');
    assert.match(data.downloadUrl, new RegExp(`^/videos/files/${id}-[0-9a-f]{16}/holiday%20video\\.mp4$`));
    const answer = await isSame(server, data, video);
    assert.equal(answer.headers['content-disposition'], "attachment; filename*=UTF-8''holiday%20video.mp4");
    assert.equal(answer.headers['content-type'], 'video/mp4');
    const piece = await server.request(data.downloadUrl, { headers: { range: 'bytes=100-199' } });
    assert.equal(piece.status, 206);
    assert.deepEqual(piece.body, video.subarray(100, 200));
    assert.equal((await server.get(`/api/status/${id}`)).json.downloadUrl, data.downloadUrl);
    assert.equal(there.asked('/some/holiday%20video.mp4').length, 1);
    all.drop();
    watcher.drop();
  });

  test('is gone on with by Range where the connection broke, and the bar never runs back', async (t) => {
    const there = await Elsewhere.during(t);
    const video = padded(bytes, 6 * MiB);
    const url = there.put('/v.mp4', video, { cuts: [MiB, MiB, 2 * MiB] });
    const { data, messages } = await completed(server, { url });
    await isSame(server, data, video);
    isMonotone(messages.map((one) => one.progress));
    const asked = there.asked('/v.mp4');
    assert.equal(asked.length, 4);
    assert.equal(asked[0].range, undefined);
      assert.ok(asked.slice(1).every((one) => /^bytes=\d+-$/.test(one.range) && one.headers['if-range'] === '"v1"'));
    const sent = asked.reduce((sum, one) => sum + one.sent, 0);
    assert.ok(sent < video.length + MiB, `${sent} bytes for ${video.length}`);
  });

  test('is gone on with where the other side stopped sending', async (t) => {
    const hasty = await Server.during(t, { args: [...ALLOW, '--download-stall', '4s'] });
    const there = await Elsewhere.during(t);
    const video = padded(bytes, 3 * MiB);
    const url = there.put('/v.mp4', video, { hold: MiB });
    const { data } = await completed(hasty, { url });
    await isSame(hasty, data, video);
    const asked = there.asked('/v.mp4');
    assert.equal(asked.length, 2);
    assert.match(asked[1].range, /^bytes=\d+-$/);
    there.release('/v.mp4');
  });

  test('is begun anew where the server has no ranges, and the bar never runs back', async (t) => {
    const there = await Elsewhere.during(t);
    const video = padded(bytes, 3 * MiB);
    const url = there.put('/v.mp4', video, { ranges: false, cuts: [2 * MiB] });
    const { data, messages } = await completed(server, { url });
    await isSame(server, data, video);
    isMonotone(messages.map((one) => one.progress));
  });

  test('is begun anew when it is another file by now', async (t) => {
    const there = await Elsewhere.during(t);
    const first = padded(bytes, 3 * MiB);
    const second = padded(bytes, 2 * MiB);
    const url = there.put('/v.mp4', first, { cuts: [MiB] });
    const one = there.paths.get('/v.mp4');
    const send = one.body;
    there.put('/v.mp4', (request, answer) => {
      if (request.headers.range === undefined && one.etag === '"v1"') {
        answer.writeHead(200, { 'content-type': 'video/mp4', etag: '"v1"', 'content-length': send.length });
        answer.write(send.subarray(0, MiB), () => setImmediate(() => answer.destroy()));
        one.etag = '"v2"';
      } else {
        answer.writeHead(200, { 'content-type': 'video/mp4', etag: '"v2"', 'content-length': second.length }).end(second);
      }
    });
    const { data } = await completed(server, { url });
    await isSame(server, data, second);
  });

  test('is begun anew when the rest is of another file, though If-Range asked', async (t) => {
    const there = await Elsewhere.during(t);
    const [first, second] = [padded(bytes, 3 * MiB), padded(bytes, 3 * MiB)];
    second.fill(7, bytes.length + 8);
    for (const field of ['etag', 'last-modified']) {
      const [before, by] = field === 'etag' ? ['"v1"', '"v2"'] : ['Sat, 01 Jan 2022 00:00:00 GMT', 'Sun, 02 Jan 2022 00:00:00 GMT'];
      const url = there.put(`/${field}.mp4`, (request, answer, entry) => {
        const whole = { 'content-type': 'video/mp4', 'content-length': first.length };
        const from = Number(/\d+/.exec(request.headers.range)?.[0] ?? 0);
        if (there.asked(entry.path).length === 1) {
          answer.writeHead(200, { ...whole, [field]: before });
          answer.write(first.subarray(0, MiB), () => setImmediate(() => answer.destroy()));
        } else if (from > 0) {
          const range = `bytes ${from}-${second.length - 1}/${second.length}`;
          answer.writeHead(206, { [field]: by, 'content-range': range, 'content-length': second.length - from }).end(second.subarray(from));
        } else {
          answer.writeHead(200, { ...whole, [field]: by }).end(second);
        }
      });
      const { data } = await completed(server, { url });
      await isSame(server, data, second);
    }
  });

  test('is whole when a 416 says so of one whose length was not known', async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/v.mp4', (request, answer) => {
      if (request.headers.range !== undefined) {
        answer.writeHead(416, { etag: '"v1"', 'content-range': `bytes */${bytes.length}` }).end();
        return;
      }
      answer.writeHead(200, { 'content-type': 'video/mp4', etag: '"v1"' }); // in chunks, of which the last is missing
      answer.write(bytes, () => setImmediate(() => answer.destroy()));
    });
    const { data } = await completed(server, { url });
    await isSame(server, data, bytes);
    assert.ok(there.asked('/v.mp4').length > 1);
  });

  test('may have no known length', async (t) => {
    const there = await Elsewhere.during(t);
    const video = padded(bytes, 2 * MiB);
    const url = there.put('/v', video, { length: false, type: 'application/octet-stream', hold: MiB });
    const all = await server.watchAll();
    const id = await ask(server, { url, title: 'Mine: a/b' });
    const heard = await all.until((m) => m.video_id === id && m.downloaded_bytes >= MiB, 'bytes');
    assert.equal(heard.total_bytes, null);
    assert.ok(heard.percent < 89);
    there.release('/v');
    const watcher = await server.watchDownload(id);
    const { data } = await watcher.until(ended, 'its end');
    assert.match(data.downloadUrl, /\/Mine_ a_b\.mp4$|\/Mine_%20a_b\.mp4$/);
    assert.equal(data.videoInfo.title, 'Mine: a/b');
    await isSame(server, data, video);
    all.drop();
    watcher.drop();
  });

  test('may pause before there is enough to write to the disk', async (t) => {
    const there = await Elsewhere.during(t);
    const video = padded(bytes, MiB);
    const url = there.put('/v.mp4', video, { hold: 100_000 });
    const all = await server.watchAll();
    const id = await ask(server, { url });
    await all.until((m) => m.video_id === id && m.downloaded_bytes === 100_000, 'all that was sent');
    there.release('/v.mp4');
    const watcher = await server.watchDownload(id);
    const { data } = await watcher.until(ended, 'its end');
    await isSame(server, data, video);
    all.drop();
    watcher.drop();
  });

  test('may have letters outside of ASCII', async (t) => {
    const there = await Elsewhere.during(t);
    there.put('/vid%C3%A9o%20%D1%8F.mp4', bytes);
    const { data } = await completed(server, { url: `${there.url('/')}vid\u00e9o%20\u044f.mp4?a=\u00fc` });
    assert.equal(data.videoInfo.title, 'vid\u00e9o \u044f');
    await isSame(server, data, bytes);
    assert.equal((await server.post('/api/download', { url: there.url(`/${'\u00e9'.repeat(900)}`) })).status, 400);
  });

  test('may be redirected, but not for ever, and takes its name from the answer', async (t) => {
    const there = await Elsewhere.during(t);
    there.put('/v.mp4', bytes, { disposition: 'attachment; filename="From the answer.mp4"' });
    for (let i = 0; i < 10; i++)
      there.put(`/hop${i}`, (request, answer) => answer.writeHead(302, { location: i === 9 ? '/v.mp4' : `/hop${i + 1}` }).end());
    there.put('/loop', (request, answer) => answer.writeHead(302, { location: '/loop' }).end());
    const { data } = await completed(server, { url: there.url('/hop0') });
    await isSame(server, data, bytes);
    assert.equal(data.videoInfo.title, 'From the answer');
    assert.match(await refused(server, { url: there.url('/loop') }), /redirected too often/);
  });

  test('may lead to itself until a cookie comes back, which the next one does not send', async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/v.mp4', (request, answer) => {
      if (request.headers.cookie === 'seen=yes') answer.writeHead(200, { 'content-type': 'video/mp4' }).end(bytes);
      else answer.writeHead(302, { location: '/v.mp4', 'set-cookie': 'seen=yes; Path=/' }).end();
    });
    for (const times of [2, 4]) {
      await completed(server, { url });
      assert.equal(there.asked('/v.mp4').length, times);
    }
  });

  test('is tried again after a server error', async (t) => {
    const there = await Elsewhere.during(t);
    let tries = 0;
    there.put('/v.mp4', (request, answer) => {
      if (++tries < 3) answer.writeHead(503).end('busy');
      else answer.writeHead(200, { 'content-type': 'video/mp4', 'content-length': bytes.length }).end(bytes);
    });
    const { data } = await completed(server, { url: there.url('/v.mp4') });
    await isSame(server, data, bytes);
    assert.equal(tries, 3);
  });

  test('that fails before it has a title is called by its address, without what may be secret', async (t) => {
    const there = await Elsewhere.during(t);
    const titled = async (body) => (await server.job((await download(server, body)).id)).title;
    const login = there.url('/').replace('://', '://me:hidden@');
    assert.equal(await titled({ url: `${login}a/gone.mp4?key=hidden` }), 'gone.mp4');
    assert.equal(await titled({ url: `${login}?key=hidden` }), new URL(login).host);
    assert.equal(await titled({ url: there.url('/gone.mp4'), title: 'My own' }), 'My own');
  });

  test('that is none is a clear error, and leaves nothing', async (t) => {
    const there = await Elsewhere.during(t);
    there.put('/picture', Buffer.from('89504e470d0a1a0a0000000d', 'hex'), { type: 'image/png' });
    there.put('/json', Buffer.from('{"no":"video"}'), { type: 'application/json' });
    there.put('/empty', Buffer.alloc(0));
    there.put('/broken.mp4', bytes.subarray(0, 200));
    there.put('/zipped', (request, answer) => answer.writeHead(200, { 'content-type': 'video/mp4', 'content-encoding': 'gzip' }).end(bytes));
    assert.match(await refused(server, { url: there.url('/nothing') }), /the server answered 404/);
    assert.match(await refused(server, { url: there.url('/picture') }), /picture/);
    assert.match(await refused(server, { url: there.url('/json') }), /text, not a video/);
    assert.match(await refused(server, { url: there.url('/empty') }), /empty/);
    assert.match(await refused(server, { url: there.url('/zipped') }), /compressed/);
    const { id, data } = await download(server, { url: there.url('/broken.mp4') });
    assert.equal(data.status, 'failed');
    await nothingLeft(server, id);
  });

  test('can become HLS', async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/v.mp4', bytes);
    const { id, data, messages } = await completed(server, { url, hls: true });
    isMonotone(messages.map((one) => one.progress));
    assert.match(data.downloadUrl, /master\.m3u8$/);
    await verify(server, await server.job(id), 4);
  });

  test('is fetched from the page, and its row can be played', { timeout: 180_000 }, async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/shown.mp4', bytes);
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(server.origin);
    await page.fill('[data-testid=from-input]', 'http://10.0.0.1/private.mp4');
    await page.click('[data-testid=from-button]');
    const error = page.locator('[data-testid=from-error]');
    await waitFor(() => error.isVisible(), 'the refusal');
    assert.equal(await error.textContent(), '10.0.0.1 is a private address.');
    await page.fill('[data-testid=from-input]', url);
    assert.ok(await error.isHidden(), 'it is of what was there before');
    await page.click('[data-testid=from-button]');
    const row = page.locator('[data-testid=job-row]', { hasText: 'shown' });
    await waitFor(() => row.locator('[data-testid=job-play]').isVisible(), 'the row to be playable', { timeout: 120_000 });
    assert.equal(await row.getAttribute('data-state'), 'completed');
    assert.equal(await page.inputValue('[data-testid=from-input]'), '');
    assert.ok(await error.isHidden());
  });

  test('can be saved from its row on the page', { timeout: 120_000 }, async (t) => {
    const there = await Elsewhere.during(t);
    const { data } = await completed(server, { url: there.put('/saved.mp4', bytes) });
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(server.origin);
    const link = page.locator('[data-testid=job-row]', { hasText: 'saved' }).locator('[data-testid=job-save]');
    await waitFor(() => link.isVisible(), 'the link');
    const [file] = await Promise.all([page.waitForEvent('download'), link.click()]);
    assert.equal(file.url(), new URL(data.downloadUrl, server.origin).href);
    assert.equal(file.suggestedFilename(), 'saved.mp4');
  });

  test('is given up when the job is cancelled, and nothing is left', async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/v.mp4', padded(bytes, 2 * MiB), { hold: MiB });
    const id = await ask(server, { url });
    const watcher = await server.watchDownload(id);
    await watcher.until((m) => m.data.progress > 15, 'bytes to be heard of');
    assert.equal((await server.request(`/api/jobs/${id}`, { method: 'DELETE' })).status, 202);
    const { data } = await watcher.until(ended, 'its end');
    assert.equal(data.status, 'failed');
    assert.equal((await server.job(id)).state, 'cancelled');
    await nothingLeft(server, id);
    watcher.drop();
  });

  test('is downloaded from the command line', async (t) => {
    const there = await Elsewhere.during(t);
    const url = there.put('/talk.mp4', bytes);
    const { status, stdout, stderr } = await reelay(['download', url, '--server', server.origin]);
    assert.equal(status, 0, stderr + stdout);
    const last = JSON.parse(stdout.trim().split('\n').at(-1));
    assert.equal(last.state, 'completed');
    const answer = await server.get(new URL(last.download_url).pathname);
    assert.equal(digest(answer.body), digest(bytes));
    const bad = await reelay(['download', there.url('/nothing.mp4'), '--server', server.origin]);
    assert.equal(bad.status, 1);
    assert.match(bad.stdout, /404/);
  });
});

describe('what is asked for', () => {
  let server;
  before(async () => (server = await Server.start()));
  after(() => server.end());

  const refusal = async (body) => {
    const answer = await server.post('/api/download', body);
    assert.equal(answer.status, 400, answer.text);
    return answer.json.error;
  };

  test('is refused on the command line at once', async () => {
    for (let i = 0; i < 5; i++) {
      const begun = Date.now();
      const { status, stdout } = await reelay(['download', 'ftp://example.org/a', '--server', server.origin]);
      assert.equal(status, 1);
      assert.match(stdout, /"state":"error".*http or https/);
      assert.ok(Date.now() - begun < 30_000, 'it waited for something else');
    }
  });

  test('is checked first, and the refusal names the field', async () => {
    assert.equal((await refusal({})).field, 'url');
    assert.equal((await refusal({ url: '' })).field, 'url');
    assert.equal((await refusal({ url: 7 })).field, 'url');
    assert.equal((await refusal({ url: 'ftp://example.com/v.mp4' })).field, 'url');
    assert.equal((await refusal({ url: 'file:///etc/passwd' })).field, 'url');
    assert.equal((await refusal({ url: `https://example.com/${'x'.repeat(2048)}` })).field, 'url');
    assert.equal((await refusal({ url: 'https://example.com/', quality: '8K' })).field, 'quality');
    assert.match((await refusal({ url: 'https://example.com/', quality: 1080 })).message, /best, 2160p, 1080p/);
    assert.equal((await refusal({ url: 'https://example.com/', hls: 'yes' })).field, 'hls');
    assert.equal((await refusal({ url: 'http://127.0.0.1/v.mp4' })).code, 'url_refused');
    assert.equal((await refusal({ url: 'http://169.254.169.254/latest/' })).code, 'url_refused');
    assert.equal((await refusal({ url: 'http://[::1]/' })).code, 'url_refused');
  });

  test('does not lead to this machine by a redirect either', async (t) => {
    const there = await Elsewhere.during(t);
    const inside = await Elsewhere.during(t);
    inside.put('/secret.mp4', await clipBytes());
    const guarded = await Server.during(t, { args: ['--download-allow', `127.0.0.1:${there.port}`] });
    there.put('/v.mp4', (request, answer) => answer.writeHead(302, { location: inside.url('/secret.mp4') }).end());
    const error = await refused(guarded, { url: there.url('/v.mp4') });
    assert.doesNotMatch(error, /404/);
    assert.equal(inside.requests.length, 0);
  });

  test('is refused where downloads are switched off', async (t) => {
    const off = await Server.during(t, { args: ['--downloads', '0'] });
    assert.equal((await off.post('/api/download', { url: 'https://example.com/v.mp4' })).status, 501);
  });

  test('has bounds', async (t) => {
    const there = await Elsewhere.during(t);
    const small = await Server.during(t, { args: [...ALLOW, '--download-max', '1MiB'] });
    const video = padded(await clipBytes(), 3 * MiB);
    there.put('/v.mp4', video);
    there.put('/unknown.mp4', video, { length: false });
    there.put('/liar.mp4', (request, answer) => {
      answer.writeHead(200, { 'content-type': 'video/mp4', 'content-length': 1000 });
      answer.socket.write(video.subarray(0, 2 * MiB));
    });
    assert.match(await refused(small, { url: there.url('/v.mp4') }), /at most 1048576/);
    assert.match(await refused(small, { url: there.url('/unknown.mp4') }), /at most 1048576/);
    assert.equal((await download(small, { url: there.url('/liar.mp4') })).data.status, 'failed');
  });

  test('is not read for ever where it leads on', async (t) => {
    const there = await Elsewhere.during(t);
    const server = await Server.during(t, { args: ALLOW });
    const block = Buffer.alloc(65536);
    let sent = 0;
    there.put('/v.mp4', (request, answer) => {
      answer.writeHead(302, { location: '/w.mp4' });
      const more = () => {
        while (!answer.destroyed && answer.write(block)) sent += block.length;
        answer.once('drain', more);
      };
      more();
    });
    await refused(server, { url: there.url('/v.mp4') });
    assert.ok(sent < 64 * MiB, `${sent} bytes`);
    assert.equal(there.asked('/w.mp4').length, 0);
  });

  test('has bounds also where it broke off at the last byte allowed', async (t) => {
    const there = await Elsewhere.during(t);
    const small = await Server.during(t, { args: [...ALLOW, '--download-max', '1MiB'] });
    const video = padded(await clipBytes(), 3 * MiB);
    const asked = [];
    there.put('/more.mp4', (request, answer) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '0')[0]);
      asked.push(from);
      const fields = { 'content-type': 'video/mp4', etag: '"1"', 'accept-ranges': 'bytes' };
      if (from === 0) {
        // All of it arrives, and then the connection ends, though more was announced.
        answer.writeHead(200, fields).write(video.subarray(0, MiB));
        answer.socket.end();
      } else {
        answer.writeHead(206, { ...fields, 'content-range': `bytes ${from}-${video.length - 1}/*` }).end(video.subarray(from));
      }
    });
    assert.match(await refused(small, { url: there.url('/more.mp4') }), /at most 1048576/);
    assert.deepEqual(asked, [0]);
  });

  test('needs room on the disk', async (t) => {
    const there = await Elsewhere.during(t);
    const full = await Server.during(t, { args: [...ALLOW, '--min-free', '100000TiB'] });
    const bytes = await clipBytes();
    assert.match(await refused(full, { url: there.put('/v.mp4', bytes) }), /no room for \d+ bytes/);
    assert.match(await refused(full, { url: there.put('/w.mp4', bytes, { length: false, hold: 1000 }) }), /no room/);
  });

  test('waits until others are done', async (t) => {
    const there = await Elsewhere.during(t);
    const one = await Server.during(t, { args: [...ALLOW, '--downloads', '1'] });
    const bytes = padded(await clipBytes(), MiB);
    const first = await ask(one, { url: there.put('/1.mp4', bytes, { hold: 100_000 }) });
    await waitFor(async () => (await one.job(first)).state === 'processing', 'the first to begin');
    const second = await ask(one, { url: there.put('/2.mp4', bytes) });
    const third = await ask(one, { url: there.put('/3.mp4', bytes) });
    assert.equal((await one.request(`/api/jobs/${third}`, { method: 'DELETE' })).status, 202);
    await waitFor(async () => (await one.job(third)).state === 'cancelled', 'the third to be cancelled');
    assert.equal((await one.job(second)).state, 'queued');
    assert.equal(there.asked('/2.mp4').length, 0);
    there.release('/1.mp4');
    await waitFor(async () => (await one.job(second)).state === 'completed', 'the second to be done');
    assert.equal(there.asked('/3.mp4').length, 0);
  });
});

describe('a server that is ended in the middle of a download', () => {
  for (const [how, end] of [['killed', (server) => server.kill()], ['asked to end', (server) => server.stop()]])
    test(`goes on where it was when it was ${how}`, async (t) => {
      const there = await Elsewhere.during(t);
      const video = padded(await clipBytes(), 8 * MiB);
      const url = there.put('/v.mp4', video, { hold: 5 * MiB });
      const server = await Server.during(t, { args: [...ALLOW, '--drain-timeout', '0s'] });
      const id = await ask(server, { url });
      const part = path.join(server.dataDir, 'work', id, 'source.part');
      await waitFor(() => existsSync(part) && statSync(part).size > 4 * MiB, 'four of five MiB on the disk');
      const before = (await server.get(`/api/status/${id}`)).json.progress;
      await end(server);
      await server.start();
      const watcher = await server.watchDownload(id);
      const { data } = await watcher.until(ended, 'its end');
      assert.equal(data.status, 'completed', JSON.stringify(data));
      isMonotone([before, ...watcher.messages.map((m) => m.data.progress)]);
      await isSame(server, data, video);
      const asked = there.asked('/v.mp4');
      assert.equal(asked.length, 2);
      assert.ok(Number(/^bytes=(\d+)-$/.exec(asked[1].range)[1]) > 4 * MiB, asked[1].range);
      watcher.drop();
    });
});
