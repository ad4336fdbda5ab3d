// Python as the system has it, with clients/python in its path.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';

import { environment, root } from './server.mjs';
import { addWitness, within } from './wait.mjs';

// The system's own Python has the system's packages; another one in PATH may not.
export const interpreter = ['/usr/bin/python3', 'python3'].find(
  (name) => spawnSync(name, ['-c', 'import websockets']).status === 0,
);
export const package_ = path.join(root, 'clients/python');

// Runs a script (text), or `args`; what it says is in `screen`, and `ended` is its status.
export function start(t, { script, args = ['-u', '-c', script], env = {}, cwd, paths = [] } = {}) {
  const python = spawn(interpreter, args, {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: environment({
      PYTHONPATH: [package_, ...paths].join(':'),
      PYTHONIOENCODING: 'utf-8',
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONWARNINGS: 'error::ResourceWarning',
      ...env,
    }),
  });
  python.screen = '';
  python.lines = (pattern) => python.screen.split('\n').filter((line) => pattern.test(line));
  for (const stream of [python.stdout, python.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (python.screen += text));
  }
  python.ended = new Promise((resolve) => python.on('close', (code, signal) => resolve(code ?? signal)));
  python.stdin.on('error', () => {});
  t.after(addWitness(() => `--- python:\n${python.screen.slice(-4000)}`));
  t.after(() => python.kill('SIGKILL'));
  return python;
}

// Runs it to its end, which must be a good one: what its last line says, as JSON if it is.
export async function run(t, options) {
  const python = start(t, options);
  const status = await within(python.ended, 'the end of Python');
  assert.equal(status, 0, python.screen);
  const last = python.screen.trim().split('\n').at(-1);
  try {
    return JSON.parse(last);
  } catch {
    return last;
  }
}
