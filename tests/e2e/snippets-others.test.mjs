// The code of the download, jobs and broadcast doors' documents, unchanged but
// for the host, in real Chromium and real Python against real jobs.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import { bundle, launch, openPage, snippet, untyped } from '../support/browser.mjs';
import { clipBytes } from '../support/clips.mjs';
import { ALLOW, ask, isMonotone, padded } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor, within } from '../support/wait.mjs';

const MiB = 1024 * 1024;

let server;
let browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server.end();
});

const upload = async () => Upload.create(server, { bytes: await clipBytes({ seconds: 3 }) });

describe("the download document's code", () => {
  // The document closes in its last line, for cleanup: that is run at the end.
  const parts = async () => {
    const source = await untyped(snippet('download/native.ts', server).replace('// Cleanup', '//! Cleanup'));
    const [use, cleanup] = source.split('//! Cleanup');
    assert.match(cleanup, /ws\.close\(\)/);
    return { use, cleanup };
  };

  test('the basic usage hears a job from its first state to its last', async () => {
    const mine = await upload();
    const { use, cleanup } = await parts();
    const page = await openPage(browser, server, {
      script: `const jobId = '${mine.id}';
        ${use}
        window.states = [];
        ws.addEventListener('message', ({ data }) => states.push(JSON.parse(data)));
        window.cleanup = () => { ${cleanup} };`,
    });
    await page.waitForFunction('ws.readyState === WebSocket.OPEN');
    await mine.putAll();
    await mine.assemble();
    await page.waitForFunction("states.some(({ data }) => data?.status === 'completed')", null, { timeout: 120_000 });
    const states = (await page.evaluate('states')).filter(({ type }) => type === 'status');
    const last = states.at(-1).data;
    assert.equal(last.progress, 100);
    assert.ok(last.downloadUrl.length > 0);
    assert.ok(states.some(({ data }) => data.status === 'processing'));
    await page.evaluate('ws.send("ping")');
    await page.waitForFunction("states.at(-1).type === 'pong'");
    await page.evaluate('cleanup()');
    await waitFor(() => page.heard.some((line) => line.startsWith('WebSocket closed:')), 'the close');
    assert.ok(page.heard.includes('WebSocket connected'));
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the hook shows a job from its first state to its last', async () => {
    const mine = await upload();
    const script = await bundle(
      `import { createRoot } from 'react-dom/client';
       import { useWebSocket } from './useWebSocket';
       function Status() {
         const { status, isConnected } = useWebSocket('${mine.id}');
         return <pre id="status" data-connected={isConnected}>{JSON.stringify(status)}</pre>;
       }
       createRoot(document.getElementById('root')).render(<Status />);`,
      { 'useWebSocket.ts': snippet('download/useWebSocket.ts', server) },
    );
    const page = await openPage(browser, server, { body: '<div id="root"></div>', script });
    await page.waitForSelector('#status[data-connected=true]');
    await mine.putAll();
    await mine.assemble();
    await page.waitForFunction(
      "JSON.parse(document.getElementById('status').textContent)?.status === 'completed'", null, { timeout: 120_000 });
    const status = JSON.parse(await page.textContent('#status'));
    assert.equal(status.jobId, String(mine.id));
    assert.equal(status.progress, 100);
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the hook shows a download in the steps of the document, as polling does', async (t) => {
    const there = await Elsewhere.during(t);
    const own = await Server.during(t, { args: ALLOW });
    const url = there.put('/v.mp4', padded(await clipBytes({ seconds: 3 }), 2 * MiB), { hold: MiB });
    const id = await ask(own, { url });
    const script = await bundle(
      `import { createRoot } from 'react-dom/client';
       import { useWebSocket } from './useWebSocket';
       window.seen = [];
       function Status() {
         const { status } = useWebSocket('${id}');
         if (status) seen.push(status);
         return <pre id="status">{JSON.stringify(status)}</pre>;
       }
       createRoot(document.getElementById('root')).render(<Status />);`,
      { 'useWebSocket.ts': snippet('download/useWebSocket.ts', own) },
    );
    const page = await openPage(browser, own, { body: '<div id="root"></div>', script });
    await page.waitForFunction("JSON.parse(document.getElementById('status').textContent)?.progress > 15", null, { timeout: 60_000 });
    const polled = (await own.get(`/api/status/${id}`)).json;
    assert.ok(polled.progress > 15 && polled.progress < 89);
    assert.equal(polled.videoInfo.title, 'v');
    there.release('/v.mp4');
    await page.waitForFunction(
      "JSON.parse(document.getElementById('status').textContent)?.status === 'completed'", null, { timeout: 60_000 });
    const seen = await page.evaluate('seen');
    isMonotone(seen.map((one) => one.progress));
    assert.deepEqual((await own.get(`/api/status/${id}`)).json, seen.at(-1));
    assert.ok(seen.at(-1).downloadUrl.endsWith('/v.mp4'));
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the reconnection of the document comes back after the server was away', async (t) => {
    const own = await Server.during(t);
    const source = await untyped(snippet('download/reconnect.ts', own));
    const page = await openPage(browser, own, {
      script: `const url = 'ws://${own.host}/ws/download/again';
        window.opened = 0;
        const Native = WebSocket;
        window.WebSocket = class extends Native {
          constructor(...args) { super(...args); this.addEventListener('open', () => opened++); }
        };
        ${source}
        connect();`,
    });
    await page.waitForFunction('opened === 1');
    await own.stop();
    await own.start();
    await page.waitForFunction('opened === 2');
    await page.close();
  });

  test('what was polled before can be polled still', async () => {
    await server.tell('polled-once', { stage: 'a', progress: 0.3, message: 'x' });
    const script = await bundle(
      `import { createRoot } from 'react-dom/client';
       import { useEffect, useState } from 'react';
       function Status({ jobId }) {
         const [status, setStatus] = useState(null);
         ${snippet('download/polling.ts', server)}
         return <pre id="status">{JSON.stringify(status)}</pre>;
       }
       createRoot(document.getElementById('root')).render(<Status jobId="polled-once" />);`,
    );
    const page = await openPage(browser, server, { body: '<div id="root"></div>', script });
    await page.waitForFunction("JSON.parse(document.getElementById('status').textContent)?.progress === 30");
    await page.close();
  });
});

// The life of a job as an outside worker reports it.
async function workOn(id) {
  await server.tell(id, { stage: 'rendering', progress: 0, message: 'Starting video render...' });
  for (const frame of [500, 1000, 1500]) {
    await server.tell(id, {
      stage: 'rendering',
      progress: frame / 2000,
      message: `Rendering frame ${frame}/2000`,
      metadata: { current_frame: frame },
    });
  }
  await server.tell(id, {
    status: 'completed',
    result: { video_url: `https://cdn.example.com/videos/${id}.mp4`, duration: 66.67, frames: 2000 },
    message: 'Video rendering completed',
  });
}

describe("the jobs document's code", () => {
  // The document's own id, job_12345, can end only once: a server of its own.
  test('the browser code follows job_12345 to its end', async (t) => {
    const own = await Server.during(t);
    const page = await openPage(browser, own, {
      script: `window.bar = []; window.texts = [];
        const updateProgressBar = (value) => bar.push(value);
        const updateStatusText = (text) => texts.push(text);
        ${snippet('jobs/browser.js', own)}`,
    });
    await waitFor(() => page.heard.includes('Connected to job job_12345'), 'the greeting');
    await own.tell('job_12345', { stage: 'rendering', progress: 0.25, message: 'Rendering frame 500/2000' });
    await own.tell('job_12345', { stage: 'rendering', progress: 0.75, message: 'Rendering frame 1500/2000' });
    await own.tell('job_12345', { status: 'completed', result: { duration: 66.67 }, message: 'Done' });
    await waitFor(() => page.heard.some((line) => line.startsWith('Job completed!')), 'the end');
    assert.deepEqual(await page.evaluate('bar'), [0.25, 0.75]);
    assert.deepEqual(await page.evaluate('texts'), ['Rendering frame 500/2000', 'Rendering frame 1500/2000']);
    assert.ok(page.heard.includes('Progress: 75%'));
    assert.ok(page.heard.includes('Stage: rendering'));
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('the browser code hears of a failure', async (t) => {
    const own = await Server.during(t);
    const page = await openPage(browser, own, {
      script: `const updateProgressBar = () => {}; const updateStatusText = () => {};
        ${snippet('jobs/browser.js', own)}`,
    });
    await waitFor(() => page.heard.includes('Connected to job progress stream'), 'the connection');
    await own.tell('job_12345', { status: 'failed', error: 'Out of memory', stage: 'rendering' });
    await waitFor(() => page.heard.includes('Job failed: Out of memory'), 'the failure');
    await page.close();
  });

  // The system's own Python has the system's package; another one in PATH may not.
  const interpreter = ['/usr/bin/python3', 'python3'].find(
    (name) => spawnSync(name, ['-c', 'import websockets']).status === 0,
  );

  const monitor = (own) => {
    const python = spawn(interpreter, ['-u', '-'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PYTHONIOENCODING: 'utf-8' },
    });
    python.screen = '';
    python.stdout.on('data', (data) => (python.screen += data));
    python.stderr.on('data', (data) => (python.screen += data));
    python.ended = new Promise((resolve) => python.on('close', resolve));
    python.stdin.end(snippet('jobs/monitor_job.py', own));
    return python;
  };

  test('the Python client follows job_12345 to its end', async (t) => {
    const own = await Server.during(t);
    const python = monitor(own);
    t.after(() => python.kill('SIGKILL'));
    await waitFor(() => python.screen.includes('Connected to job job_12345'), 'the Python client to connect');
    await own.tell('job_12345', { stage: 'rendering', progress: 0.5, message: 'Halfway' });
    await waitFor(() => python.screen.includes('Halfway'), 'the Python client to hear');
    await own.tell('job_12345', { status: 'completed', result: { duration: 66.67 } });
    assert.equal(await within(python.ended, 'the end of the Python client'), 0, python.screen);
    assert.match(python.screen, /^rendering: 50\.0% - Halfway$/m);
    assert.match(python.screen, /^✅ Job completed: \{'duration': 66\.67\}$/m);
  });

  test('the Python client hears of a failure', async (t) => {
    const own = await Server.during(t);
    const python = monitor(own);
    t.after(() => python.kill('SIGKILL'));
    await waitFor(() => python.screen.includes('Connected to job job_12345'), 'the Python client to connect');
    await own.tell('job_12345', { status: 'failed', error: 'Out of memory', stage: 'rendering' });
    assert.equal(await within(python.ended, 'the end of the Python client'), 0, python.screen);
    assert.match(python.screen, /^❌ Job failed: Out of memory$/m);
  });

  test('the hook and the component show a job to its end', async () => {
    // The component is not exported in the document; it is rendered from within its module.
    const source = `${snippet('jobs/useJobProgress.tsx', server)}
      import { createRoot } from 'react-dom/client';
      createRoot(document.getElementById('root')!).render(<JobProgressMonitor jobId="hooked" />);`;
    const page = await openPage(browser, server, { body: '<div id="root"></div>', script: await bundle(source) });
    await waitFor(async () => (await page.textContent('#root')).includes('Connected to job progress stream'), 'the greeting');
    await workOn('hooked');
    await page.waitForSelector('pre');
    assert.equal(await page.textContent('h3'), 'complete');
    assert.equal(await page.textContent('p'), 'Video rendering completed');
    assert.deepEqual(JSON.parse(await page.textContent('pre')), {
      video_url: 'https://cdn.example.com/videos/hooked.mp4',
      duration: 66.67,
      frames: 2000,
    });
    assert.equal(await page.evaluate("document.querySelector('progress').value"), 1);
    assert.deepEqual(page.broke, []);
    await page.close();
  });
});

describe("the broadcast document's hooks", () => {
  const mount = async (own, { isThere = true } = {}) => {
    const script = await bundle(
      `import { createRoot } from 'react-dom/client';
       import { useDownloadProgress } from './hooks/useDownloadProgress';
       function App() {
         const { progress, getProgress, isConnected } = useDownloadProgress();
         return <>
           {!isConnected && <div id="reconnecting">Reconnecting...</div>}
           <pre id="progress">{JSON.stringify(progress)}</pre>
           <b id="one">{String(getProgress('one'))}</b>
         </>;
       }
       createRoot(document.getElementById('root')).render(<App />);`,
      {
        'useWebSocket.ts': snippet('broadcast/useWebSocket.ts', own),
        'useDownloadProgress.ts': snippet('broadcast/useDownloadProgress.ts', own),
      },
    );
    const page = await openPage(browser, own, { body: '<div id="root"></div>', script });
    await page.waitForSelector('#reconnecting', { state: isThere ? 'detached' : 'attached' });
    return page;
  };

  const shows = (page, expected) =>
    page.waitForFunction(
      ([text]) => {
        const shown = JSON.parse(document.getElementById('progress').textContent);
        const percents = Object.entries(shown).map(([id, { percent }]) => `${id} ${percent}`).sort();
        return percents.join() === text;
      },
      [expected.join()],
    );

  test('show several videos at once, clear what has ended, in several tabs', async (t) => {
    const own = await Server.during(t);
    await own.tell('one', { stage: 'a', progress: 0.1, message: 'x' });
    const tabs = [await mount(own), await mount(own)];
    for (const tab of tabs) await shows(tab, ['one 10']);
    await own.tell('two', { stage: 'a', progress: 0.42, message: 'x' });
    for (const tab of tabs) await shows(tab, ['one 10', 'two 42']);
    assert.equal(await tabs[0].textContent('#one'), '10');
    await own.tell('one', { status: 'completed', result: {} });
    for (const tab of tabs) await shows(tab, ['two 42']);
    await own.tell('two', { status: 'failed', error: 'no' });
    for (const tab of tabs) await shows(tab, []);
    assert.equal(await tabs[0].textContent('#one'), 'null');
    for (const tab of tabs) {
      assert.deepEqual(tab.broke, []);
      await tab.close();
    }
  });

  // Once open, the document's own hook takes its reconnection away again (its
  // second onclose replaces the first), so what it can do is to begin before
  // the server is there.
  test('find a server that comes later, and show the present', { timeout: 90_000 }, async (t) => {
    const own = await Server.during(t);
    await own.tell('kept', { stage: 'a', progress: 0.5, message: 'x' });
    await own.stop();
    const page = await mount(own, { isThere: false });
    await own.start();
    await page.waitForSelector('#reconnecting', { state: 'detached' });
    await shows(page, ['kept 50']);
    await own.tell('kept', { stage: 'a', progress: 0.6, message: 'x' });
    await shows(page, ['kept 60']);
    await page.close();
  });
});
