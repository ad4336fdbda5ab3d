// The code of the stream door's document, unchanged but for the host, in real
// Chromium against real jobs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { bundle, launch, openPage, snippet } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const SECONDS = 4;
const TRACKED = '<div id="progress-bar"></div><p id="status-text"></p>';

describe("the stream document's code", () => {
  let server;
  let browser;
  let file;
  let token;

  before(async () => {
    file = await clip({ seconds: SECONDS, size: '640x360' });
    server = await Server.start();
    token = await server.token();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server.end();
  });

  const create = () => Upload.create(server, { bytes: readFileSync(file), token });

  test('VideoProgressTracker follows a video to its end', async () => {
    const upload = await create();
    const source = snippet('stream/VideoProgressTracker.js', server)
      .replace("new VideoProgressTracker(123, 'jwt-token',", `new VideoProgressTracker(${upload.id}, '${token}',`);
    const page = await openPage(browser, server, { body: TRACKED, script: source });
    await page.waitForFunction('tracker.ws.readyState === WebSocket.OPEN');
    await upload.putAll();
    await upload.assemble();
    const job = await upload.complete();
    await waitFor(() => page.alerts.length > 0, 'the page to say that the video is ready');
    assert.deepEqual(page.alerts, ['Video processing complete!']);
    assert.ok(page.heard.includes(`Video ready! ${job.hls_path}`), page.heard.join('\n'));
    assert.ok(page.heard.includes('assembling: 0% - Starting chunk assembly'), page.heard.join('\n'));
    assert.equal(await page.textContent('#status-text'), 'Complete');
    assert.equal(await page.evaluate("document.getElementById('progress-bar').style.width"), '100%');
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('VideoProgressTracker, to the letter, is told that its token is none', async () => {
    const source = snippet('stream/VideoProgressTracker.js', server);
    const page = await openPage(browser, server, { body: TRACKED, script: source });
    await waitFor(() => page.alerts.length > 0, 'the page to complain');
    assert.deepEqual(page.alerts, ['Error: Authentication failed']);
    await page.close();
  });

  test('the onclose of the document refreshes the token on 4001 and only then', async () => {
    const handler = snippet('stream/onclose.js', server);
    const visit = (connect) => openPage(browser, server, {
      script: `
        window.calls = [];
        const refreshTokenAndReconnect = () => calls.push('refresh');
        const reconnect = () => calls.push('reconnect');
        ${connect}
        ${handler}
        ws.addEventListener('close', () => calls.push('closed'));`,
    });
    const refused = await visit(snippet('stream/connect.js', server));
    await refused.waitForFunction("calls.includes('closed')");
    assert.deepEqual(await refused.evaluate('calls'), ['refresh', 'closed']);
    const normal = await visit(`const ws = new WebSocket('ws://${server.host}/socket/stream/progress/5/?token=${token}');
      ws.onopen = () => ws.close(1000);`);
    await normal.waitForFunction("calls.includes('closed')");
    assert.deepEqual(await normal.evaluate('calls'), ['closed']);
    await refused.close();
    await normal.close();
  });

  test('uploadVideoWithProgress uploads, assembles and hears of the end', async () => {
    // The document calls an axios instance `api`; this is as much of one as it uses.
    const page = await openPage(browser, server, {
      body: '<input type="file">',
      script: `
        window.updates = [];
        const updateProgressUI = (data) => updates.push(data);
        const api = {
          async post(path, body) {
            const answer = await fetch(path, {
              method: 'POST',
              headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ${token}' },
              body: JSON.stringify(body),
            });
            if (!answer.ok) throw new Error(path + ': ' + answer.status);
            return { data: await answer.json(), status: answer.status };
          },
        };
        ${snippet('stream/uploadVideoWithProgress.js', server)}
        window.begin = () =>
          uploadVideoWithProgress(document.querySelector('input').files[0], { title: 'A clip' }, '${token}');`,
    });
    // Over one chunk of the 5 MB that the document cuts.
    const large = await clip({ seconds: SECONDS, size: '1280x720', rate: 60 });
    await page.setInputFiles('input', large);
    await page.evaluate('begin()');
    await page.waitForFunction("updates.some(({ type }) => type === 'complete' || type === 'error')", null, { timeout: 120_000 });
    const updates = await page.evaluate('updates');
    assert.equal(updates[0].type, 'connection');
    const end = updates.at(-1);
    assert.equal(end.type, 'complete', JSON.stringify(end));
    assert.ok(page.heard.some((line) => /^Uploaded chunk 1\/\d+$/.test(line)), page.heard.join('\n'));
    await verify(server, end, SECONDS);
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  const mountReact = async (videoId, accessToken) => {
    const script = await bundle(
      `import { createRoot } from 'react-dom/client';
       import VideoUploadProgress from './VideoUploadProgress';
       createRoot(document.getElementById('root')).render(
         <VideoUploadProgress videoId={${videoId}} accessToken={${JSON.stringify(accessToken)}} />);`,
      { 'VideoUploadProgress.jsx': snippet('stream/VideoUploadProgress.jsx', server) },
    );
    return openPage(browser, server, { body: '<div id="root"></div>', script });
  };

  test('the React component shows the way to the end', async () => {
    const upload = await create();
    const page = await mountReact(upload.id, token);
    await page.waitForSelector('.status-connected');
    assert.equal(await page.textContent('.message'), 'Connected to video progress stream');
    await upload.putAll();
    await upload.assemble();
    await page.waitForSelector('.status-completed', { timeout: 120_000 });
    assert.equal(await page.textContent('.message'), 'Video processing completed successfully');
    assert.equal(await page.textContent('.progress-text'), '100%');
    assert.equal(await page.textContent('.stage'), 'converting');
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the React component shows a failure', async () => {
    const upload = await Upload.create(server, { bytes: Buffer.from('no video'), chunks: 1, token });
    const page = await mountReact(upload.id, token);
    await page.waitForSelector('.status-connected');
    await upload.putAll();
    await upload.assemble();
    await page.waitForSelector('.status-failed');
    assert.match(await page.textContent('.message'), /^(Chunk assembly|HLS conversion) failed$/);
    await page.close();
  });

  test('the React component shows that its token is none', async () => {
    const page = await mountReact(123, 'jwt-token');
    await page.waitForSelector('.status-error');
    assert.equal(await page.textContent('.message'), 'Authentication failed');
    await page.close();
  });
});
