// The document's front end as it is developed: a page of http://localhost:3000
// and a server on another port, over every way there is, in real Chromium.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { bundle, launch } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

const SCRIPT = `
  import { io } from 'socket.io-client';
  import { createORPCClient } from '@orpc/client';
  import { RPCLink } from '@orpc/client/fetch';
  import Hls from '../../web/node_modules/hls.js/dist/hls.mjs';

  const follow = (url, options, videoId) => new Promise((resolve, reject) => {
    const socket = io(url + '/file-processing', { forceNew: true, ...options });
    socket.on('connect_error', (error) => { socket.disconnect(); reject(error); });
    socket.on('connect', () => socket.emit('subscribe:file', { fileId: videoId }));
    socket.on('processing:completed', ({ result }) => {
      resolve({ result, transport: socket.io.engine.transport.name });
      socket.disconnect();
    });
    socket.on('processing:failed', ({ error }) => reject(new Error(error)));
  });
  const play = (url) => new Promise((resolve, reject) => {
    const video = document.querySelector('video');
    const hls = new Hls();
    hls.on(Hls.Events.ERROR, (_, { details, fatal }) => fatal && reject(new Error(details)));
    video.addEventListener('timeupdate', () => video.currentTime > 0.5 && resolve(true));
    video.addEventListener('loadedmetadata', () => video.play());
    hls.loadSource(url);
    hls.attachMedia(video);
  });
  window.journey = async (url, token, ways) => {
    const headers = token ? { authorization: 'Bearer ' + token } : {};
    const { uploadVideo } = createORPCClient(new RPCLink({ url: url + '/rpc', headers }));
    const [file] = document.querySelector('input').files;
    const { videoId } = await uploadVideo({ file });
    const seen = await Promise.all(ways.map((way) => follow(url, { ...way, auth: token ? { token } : undefined }, videoId)));
    const job = await (await fetch(url + '/api/jobs/' + videoId, { headers, credentials: token ? 'include' : 'omit' })).json();
    await play(new URL(job.hls_url, url).href);
    return seen.map(({ transport }) => transport);
  };`;

const WAYS = [
  { transports: ['websocket'] },
  { transports: ['polling'] },
  { transports: ['polling'], withCredentials: true },
  { withCredentials: true },
  {},
];

describe('a page of another port', () => {
  let pages;
  let browser;
  let script;
  let origin;

  before(async () => {
    pages = http.createServer((request, answer) => {
      answer.setHeader('content-type', 'text/html');
      answer.end('<!doctype html><title>a page</title><input type="file"><video muted></video>');
    });
    await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
    origin = `http://localhost:${pages.address().port}`;
    script = await bundle(SCRIPT);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    pages.close();
  });

  async function travel(server, token) {
    const page = await browser.newPage();
    const broke = [];
    page.on('console', (message) => message.type() === 'error' && broke.push(message.text()));
    await page.goto(origin);
    await page.addScriptTag({ content: script });
    await page.setInputFiles('input', await clip({ seconds: 2 }));
    const transports = await page.evaluate(
      ([url, bearer, ways]) => window.journey(url, bearer, ways), [`http://localhost:${server.port}`, token, WAYS]);
    assert.deepEqual(broke.filter((line) => !line.includes('favicon')), []);
    assert.deepEqual(transports.slice(0, 3), ['websocket', 'polling', 'polling']);
    await page.close();
  }

  test('uploads, follows by every transport, and plays, with nothing configured', { timeout: 180_000 }, async (t) => {
    await travel(await Server.during(t));
  });

  test('does so as the document configures it', { timeout: 180_000 }, async (t) => {
    await travel(await Server.during(t, { env: { WEBSOCKET_CORS_ORIGIN: `${origin},https://yourdomain.com` } }));
  });

  test('does so with a token', { timeout: 180_000 }, async (t) => {
    await travel(await Server.during(t, { env: withSecret }), mint({ sub: 'alice' }));
  });

  // Its browser does not say why.
  test('finds in the log of the server that it is not among those listed', { timeout: 60_000 }, async (t) => {
    const server = await Server.during(t, { args: ['--cors-origin', 'https://yourdomain.com'] });
    await assert.rejects(travel(server));
    const refusal = new RegExp(`level=warn event=page_refused origin=${origin} .*hint=--cors-origin`);
    await waitFor(() => refusal.test(server.log), 'the log to say so');
    for (let i = 0; i < 50; i++) await server.request('/api/jobs', { headers: { origin } });
    assert.equal(server.log.match(/event=page_refused/g).length, 1, 'a stranger fills no log');
  });
});
