// Python as the system has it, with clients/python in its path.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { environment, root, temporaryFolder } from './server.mjs';
import { addWitness, within } from './wait.mjs';

// The system's own Python has the system's packages; another one in PATH may not.
export const interpreter = ['/usr/bin/python3', 'python3'].find(
  (name) => spawnSync(name, ['-c', 'import websockets']).status === 0,
);
export const package_ = path.join(root, 'clients/python');

export const snippet = (name) => readFileSync(path.join(root, 'tests/e2e/snippets/jobs', name), 'utf8');

// Where `from api.websocket import ProgressReporter` can stay as it is: ours behind
// a module of one line, or the one in plain redis-py that workers have.
const shims = {
  reelay: 'from reelay import ProgressReporter\n',
  plain: readFileSync(path.join(root, 'tests/support/plain_reporter.py'), 'utf8'),
};

// A folder for the path.
export function shim(t, reporter = 'reelay') {
  const folder = temporaryFolder('reelay-shim-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(path.join(folder, 'api'));
  writeFileSync(path.join(folder, 'api/__init__.py'), '');
  writeFileSync(path.join(folder, 'api/websocket.py'), shims[reporter]);
  return folder;
}

// A Celery worker with these tasks, and its broker.
export function startCelery(t, { broker, tasks, paths = [], env }) {
  const folder = temporaryFolder('reelay-celery-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(path.join(folder, 'tasks.py'), `
import asyncio, os
from celery import Celery
celery_app = Celery('tasks', broker=os.environ['BROKER'], backend=os.environ['BROKER'])
${tasks}`);
  const options = { cwd: folder, paths: [folder, ...paths], env: { ...env, BROKER: broker, C_FORCE_ROOT: '1' } };
  const celery = start(t, {
    args: ['-m', 'celery', '-A', 'tasks', 'worker', '--pool', 'prefork', '--concurrency', '2',
      '--loglevel', 'WARNING', '--without-gossip', '--without-mingle', '--without-heartbeat'],
    ...options,
  });
  const send = (id) => run(t, {
    script: `import tasks; tasks.render_video.apply_async(args=['/v.mp4'], task_id='${id}')`, ...options,
  });
  const stop = async () => {
    celery.kill('SIGTERM');
    assert.equal(await within(celery.ended, 'the end of Celery'), 0, celery.screen);
  };
  return { send, stop };
}

// What the document's task and its process_video are in startCelery.
export const documentTask = () => `
def process_video(video_path):
    return {'video': video_path}
${snippet('celery_task.py')}`;

// The document's FastAPI router, served: its origin.
export async function startFastApi(t, { port, paths, env }) {
  const api = start(t, {
    script: `${snippet('fastapi_job.py')}
from fastapi import FastAPI
import uvicorn
app = FastAPI()
app.include_router(router)
uvicorn.run(app, host='127.0.0.1', port=${port}, log_level='warning')`,
    paths,
    env,
  });
  const stop = async () => {
    api.kill('SIGINT');
    await within(api.ended, 'the end of FastAPI');
  };
  return { origin: `http://127.0.0.1:${port}`, stop };
}

// One that still runs shortly before a test gives it up says where it stands.
const TELLTALE = 'import faulthandler; faulthandler.dump_traceback_later(50)\n';

// Runs a script (text), or `args`; what it says is in `screen`, and `ended` is its status.
export function start(t, { script, args = ['-u', '-c', TELLTALE + script], env = {}, cwd, paths = [] } = {}) {
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
  python.lines = (pattern) => python.screen.split('\n').slice(0, -1).filter((line) => pattern.test(line));
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
