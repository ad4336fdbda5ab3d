// Videos that lie behind https: which certificates are taken, by what name, and what is said
// of the others. The same for pages, which yt-dlp reads through the proxy.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { ALLOW, completed, digest, isSame, padded, refused } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { Server } from '../support/server.mjs';
import { Authority } from '../support/tls.mjs';

const MiB = 1024 * 1024;
const html = (body) => Buffer.from(`<!doctype html><html><head><title>A page's title</title></head><body>${body}</body></html>`);
const PAGE = { type: 'text/html; charset=utf-8' };

describe('a URL behind https', () => {
  let ca, server, bytes;
  before(async () => {
    ca = await Authority.make();
    bytes = await clipBytes({ seconds: 4 });
    server = await Server.start({ args: [...ALLOW, '--download-allow', 'localhost'], env: { SSL_CERT_FILE: ca.file } });
  });
  after(async () => {
    await server?.end();
    ca?.end();
  });

  // What is elsewhere, and what stands before it: its URLs are of a name, not an address.
  async function elsewhere(t, how = { names: ['localhost'] }) {
    const there = await Elsewhere.during(t);
    const front = await ca.before(t, there.url('/'), how);
    return { there, front, url: (path) => `https://localhost:${front.port}${path}` };
  }

  test('is fetched, and gone on with where it broke off', { timeout: 120_000 }, async (t) => {
    const { there, front, url } = await elsewhere(t);
    const video = padded(bytes, 4 * MiB);
    there.put('/a/talk.mp4', video, { cuts: [MiB, MiB] });
    const { data } = await completed(server, { url: url('/a/talk.mp4') });
    await isSame(server, data, video);
    const asked = there.asked('/a/talk.mp4');
    assert.equal(asked.length, 3);
    assert.ok(asked.slice(1).every((one) => /^bytes=\d+-$/.test(one.range)), JSON.stringify(asked));
    assert.equal(front.greeted, front.connections);
  });

  test('may be redirected from http and to http', async (t) => {
    const { there, url } = await elsewhere(t);
    const to = (location) => (request, answer) => answer.writeHead(302, { location }).end();
    there.put('/v.mp4', bytes);
    there.put('/up', to(url('/v.mp4')));
    there.put('/down', to(there.url('/v.mp4')));
    for (const from of [there.url('/up'), url('/down'), url('/up')]) {
      const { data } = await completed(server, { url: from });
      await isSame(server, data, bytes);
    }
  });

  const BAD = [
    ['for another name than it was asked for by', { names: ['127.0.0.1', 'video.example'] }, /its certificate is not trusted: no alternative certificate subject name matches target host name 'localhost'/],
    ['that signed itself', { isOwn: true }, /its certificate is not trusted: self-signed certificate/],
    ['that is over', { isOver: true }, /its certificate is not trusted: certificate has expired/],
  ];
  for (const [what, how, why] of BAD) {
    test(`with a certificate ${what} fails at once, and says so`, async (t) => {
      const { there, front, url } = await elsewhere(t, how);
      there.put('/v.mp4', bytes);
      there.put('/to', (request, answer) => answer.writeHead(302, { location: url('/v.mp4') }).end());
      assert.match(await refused(server, { url: url('/v.mp4') }), why);
      assert.equal(front.connections, 1, 'it is not tried again');
      assert.match(await refused(server, { url: there.url('/to') }), why);
      assert.equal(front.connections, 2);
      assert.equal(there.asked('/v.mp4').length, 0);
    });
  }

  test('of an authority that nobody has named fails at once, too', async (t) => {
    const { there, front, url } = await elsewhere(t);
    there.put('/v.mp4', bytes);
    const stranger = await Server.during(t, { args: [...ALLOW, '--download-allow', 'localhost'] });
    assert.match(await refused(stranger, { url: url('/v.mp4') }), /its certificate is not trusted: unable to get local issuer certificate/);
    assert.equal(front.connections, 1);
  });

  test('is not reached by it if the guard does not admit the address', async (t) => {
    const { there, front, url } = await elsewhere(t);
    there.put('/v.mp4', bytes);
    const strict = await Server.during(t, { env: { SSL_CERT_FILE: ca.file } });
    const answer = await strict.post('/api/download', { url: url('/v.mp4') });
    assert.equal(answer.status, 400, answer.text);
    assert.equal(front.connections, 0);
  });

  test('may be a page, whose video is behind https as well', { timeout: 120_000 }, async (t) => {
    const { there, front, url } = await elsewhere(t);
    there.put('/clip.mp4', bytes);
    there.put('/watch', html('<video src="/clip.mp4"></video>'), PAGE);
    const { data } = await completed(server, { url: url('/watch') });
    await isSame(server, data, bytes);
    assert.match(data.videoInfo.title, /^A page's title/);
    assert.ok(there.asked('/clip.mp4').length > 0);
    assert.equal(digest(bytes), digest((await server.get(data.downloadUrl)).body));
    assert.ok(front.greeted >= 3, `${front.greeted}`); // Reelay's own, and those through the proxy
  });

  test('may be a page whose video is not to be trusted', { timeout: 120_000 }, async (t) => {
    const { there, url } = await elsewhere(t);
    const bad = await elsewhere(t, { isOwn: true });
    bad.there.put('/clip.mp4', bytes);
    there.put('/watch', html(`<video src="${bad.url('/clip.mp4')}"></video>`), PAGE);
    assert.match(await refused(server, { url: url('/watch') }), /certificate is not (to be )?trusted/);
    assert.equal(bad.there.requests.length, 0);
  });
});
