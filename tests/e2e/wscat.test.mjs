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
  // script gives it the terminal without which it shows less than to a person.
  const command = `'${process.execPath}' '${program}' --no-color -c ws://${server.host}/ws/download/test-job-123`;
  const wscat = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.after(() => wscat.kill('SIGKILL'));
  let screen = '';
  wscat.stdout.on('data', (data) => (screen += data));
  wscat.stderr.on('data', (data) => (screen += data));
  const ended = new Promise((resolve) => wscat.on('close', resolve));
  await waitFor(() => screen.includes('Connected'), 'wscat to connect');
  wscat.stdin.write('ping\r');
  await waitFor(() => screen.includes('{"type":"pong"}'), 'the pong');
  wscat.stdin.write('\x03'); // Ctrl-C, with which it is left
  await within(ended, 'the end of wscat');
  assert.deepEqual(screen.match(/< [^\x1b\r]*/g), ['< {"type":"pong"}'], JSON.stringify(screen));
});
