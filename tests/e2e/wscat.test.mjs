// The session with wscat that the document of the download door shows.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const manifest = require.resolve('wscat/package.json');
const { bin } = require('wscat/package.json');
const program = path.join(path.dirname(manifest), typeof bin === 'string' ? bin : bin.wscat);

test('wscat sends ping and gets exactly one message, the pong', async (t) => {
  const server = await Server.during(t);
  const wscat = spawn(
    process.execPath,
    [program, '--no-color', '-c', `ws://${server.host}/ws/download/test-job-123`],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  t.after(() => wscat.kill('SIGKILL'));
  let screen = '';
  wscat.stdout.on('data', (data) => (screen += data));
  wscat.stderr.on('data', (data) => (screen += data));
  const ended = new Promise((resolve) => wscat.on('close', resolve));
  await waitFor(() => screen.includes('Connected'), 'wscat to connect');
  wscat.stdin.write('ping\n');
  await waitFor(() => screen.includes('{"type":"pong"}'), 'the pong');
  wscat.stdin.end();
  await within(ended, 'the end of wscat');
  const heard = screen.split('\n').filter((line) => /^\W*< /.test(line));
  assert.equal(heard.length, 1, screen);
  assert.match(heard[0], /< \{"type":"pong"\}\s*$/);
});
