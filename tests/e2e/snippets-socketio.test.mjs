// The code of the file processing gateway's document, unchanged but for the
// host, in real Chromium against real jobs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { bundle, launch, openPage, snippet } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

describe("the socketio document's code", () => {
  let server;
  let browser;
  let file;
  let token;

  before(async () => {
    file = await clip({ seconds: 3, size: '320x180' });
    server = await Server.start();
    token = await server.token();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server.end();
  });

  // The document's `uploadVideo`, which it imports from its oRPC client.
  const uploadVideo = (own, bearer) => `
    import { createORPCClient } from '@orpc/client';
    import { RPCLink } from '@orpc/client/fetch';
    export const { uploadVideo } = createORPCClient(new RPCLink({
      url: '${own.origin}/rpc', headers: { authorization: 'Bearer ${bearer}' } }));`;

  // The component is not exported in the document: it is rendered from within its module.
  const component = (own, bearer, change = (source) => source) => bundle(
    `import { uploadVideo } from './uploadVideo';
     import { createRoot } from 'react-dom/client';
     ${change(snippet('socketio/VideoUploadComponent.tsx', own))}
     createRoot(document.getElementById('root')!).render(<VideoUploadComponent />);`,
    { 'uploadVideo.js': uploadVideo(own, bearer) },
  );

  const mount = async (own, bearer, change) => {
    const script = await component(own, bearer, change);
    const page = await openPage(browser, own, { body: '<div id="root"></div>', script });
    await waitFor(() => page.heard.includes('WebSocket connected'), 'the component to connect');
    return page;
  };

  const shows = (page, text) => page.waitForFunction(
    (wanted) => document.querySelector('p')?.textContent === wanted, text, { timeout: 120_000 });

  test('the component follows an upload to its end over a WebSocket', async () => {
    const page = await mount(server, token);
    await page.setInputFiles('input[type=file]', file);
    await shows(page, 'completed');
    assert.equal(await page.evaluate("document.querySelector('progress').value"), 100);
    assert.ok(page.heard.some((line) => line.startsWith('Progress update:')), page.heard.join('\n'));
    assert.ok(page.heard.some((line) => line.startsWith('Processing completed:')));
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the component does so over polling that is upgraded', async () => {
    const page = await mount(server, token, (source) => {
      assert.match(source, /transports: \['websocket'\],/);
      return source.replace("transports: ['websocket'],", '');
    });
    await page.setInputFiles('input[type=file]', file);
    await shows(page, 'completed');
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the component, which subscribes once, outlives the end of its server', { timeout: 180_000 }, async (t) => {
    const own = await Server.during(t);
    const page = await mount(own, await own.token());
    await page.setInputFiles('input[type=file]', file);
    await waitFor(() => page.heard.some((line) => line.startsWith('Progress update:')), 'the first progress');
    await own.kill();
    await own.start();
    await shows(page, 'completed');
    await page.close();
  });

  test('the component tells of a failure', async (t) => {
    const own = await Server.during(t);
    const script = await bundle(
      `const uploadVideo = async () => ({ videoId: 'will-fail' });
       import { createRoot } from 'react-dom/client';
       ${snippet('socketio/VideoUploadComponent.tsx', own)}
       createRoot(document.getElementById('root')!).render(<VideoUploadComponent />);`,
    );
    const page = await openPage(browser, own, { body: '<div id="root"></div>', script });
    await waitFor(() => page.heard.includes('WebSocket connected'), 'the component to connect');
    await own.tell('will-fail', { stage: 'a', progress: 0.5, message: 'Halfway' });
    await page.setInputFiles('input[type=file]', file);
    await shows(page, 'Halfway');
    await own.tell('will-fail', { status: 'failed', error: 'Out of memory' });
    await shows(page, 'Out of memory');
    await page.close();
  });

  test('the vanilla code follows video-uuid-123 to its end', async (t) => {
    const own = await Server.during(t);
    const page = await openPage(browser, own, {
      body: '<progress id="progress-bar" max="100"></progress><p id="status-text"></p>',
      script: await bundle(snippet('socketio/vanilla.js', own)),
    });
    await waitFor(() => page.heard.includes('Subscribed to file: video-uuid-123'), 'the subscription');
    await own.tell('video-uuid-123', { stage: 'a', progress: 0.2, message: 'Extracting metadata...' });
    await waitFor(() => page.heard.includes('Progress: 20% - Extracting metadata...'), 'the progress');
    assert.equal(await page.textContent('#status-text'), 'Extracting metadata...');
    assert.equal(await page.evaluate("document.getElementById('progress-bar').value"), 20);
    await own.tell('video-uuid-123', { status: 'completed', result: { duration: 66.67 } });
    await waitFor(() => page.heard.some((line) => line.startsWith('Processing completed!')), 'the end');
    assert.equal(await page.evaluate("document.getElementById('progress-bar').value"), 100);
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the vanilla code hears of a failure, and comes back to a server that was away', async (t) => {
    const own = await Server.during(t);
    const page = await openPage(browser, own, {
      body: '<progress id="progress-bar" max="100"></progress><p id="status-text"></p>',
      script: await bundle(snippet('socketio/vanilla.js', own)),
    });
    const subscribed = () => page.heard.filter((line) => line === 'Subscribed to file: video-uuid-123').length;
    await waitFor(() => subscribed() === 1, 'the subscription');
    await own.stop();
    await own.start();
    await waitFor(() => subscribed() === 2, 'the subscription to be made again');
    await own.tell('video-uuid-123', { status: 'failed', error: 'Out of memory', stage: 'a' });
    await waitFor(() => page.heard.includes('Processing failed: Out of memory'), 'the failure');
    await page.close();
  });

  test('the options of the document bring a client back', async (t) => {
    const own = await Server.during(t);
    const page = await openPage(browser, own, {
      script: await bundle(`import { io } from 'socket.io-client';
        const url = '${own.origin}/file-processing';
        ${snippet('socketio/reconnection.ts', own)}
        window.connections = 0;
        socket.on('connect', () => window.connections++);`),
    });
    await page.waitForFunction('connections === 1');
    await own.stop();
    await own.start();
    await page.waitForFunction('connections === 2');
    await page.close();
  });

  test('the session with wscat', async (t) => {
    const own = await Server.during(t);
    const session = snippet('socketio/wscat.sh', own);
    const [, address] = /^wscat -c (\S+)$/m.exec(session);
    const [, typed] = /^> (.*)$/m.exec(session);
    const [, expected] = /^< (.*)$/m.exec(session);
    const manifest = require.resolve('wscat/package.json');
    const { bin } = require('wscat/package.json');
    const program = path.join(path.dirname(manifest), typeof bin === 'string' ? bin : bin.wscat);
    // script gives it the terminal without which it shows less than to a person.
    const wscat = spawn('script', ['-qec', `'${process.execPath}' '${program}' --no-color -c ${address}`, '/dev/null'],
      { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, COLUMNS: '400' } });
    t.after(() => wscat.kill('SIGKILL'));
    let screen = '';
    wscat.stdout.on('data', (data) => (screen += data));
    const ended = new Promise((resolve) => wscat.on('close', resolve));
    await waitFor(() => screen.includes('Connected'), 'wscat to connect');
    await own.tell('video-uuid-123', { stage: 'a', progress: 0, message: 'x' });
    wscat.stdin.write(`${typed}\r`);
    await waitFor(() => screen.includes('"event":"subscribed"'), 'the subscription');
    await own.tell('video-uuid-123', { stage: 'a', progress: 0.2, message: 'Extracting metadata...' });
    const { event, data } = JSON.parse(expected);
    // The document leaves out the time.
    const shown = () => [...screen.matchAll(/< (\{.*?\}\})/g)].map(([, text]) => JSON.parse(text)).find(
      (message) => message.event === event && message.data.progress === data.progress);
    await waitFor(shown, `the message of the document; the screen is ${JSON.stringify(screen)}`);
    const { timestamp, ...rest } = shown().data;
    assert.deepEqual(rest, data);
    assert.ok(!Number.isNaN(Date.parse(timestamp)));
    wscat.stdin.write('\x03');
    await within(ended, 'the end of wscat');
  });
});
