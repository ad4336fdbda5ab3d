// Runs the end to end tests: run.mjs [SUMMARY.json] [FILE...]. Quiet about what
// passes, loud about what fails. Files run side by side, each a process of its own.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

import { binary } from './server.mjs';

const FILE_TIMEOUT = 15 * 60_000;
const folder = fileURLToPath(new URL('../e2e/', import.meta.url));
const args = process.argv.slice(2);
const summary = args[0]?.endsWith('.json') ? args.shift() : undefined;

// Those that take long go first, so that none of them runs alone in the end.
const LONG = ['crash', 'slow-reader', 'keepalive', 'stages', 'wire-volume', 'snippets', 'player'];
const rank = (file) => {
  const found = LONG.findIndex((name) => path.basename(file).startsWith(name));
  return found < 0 ? LONG.length : found;
};
const files = (args.length > 0 ? args.map((file) => path.resolve(file)) : readdirSync(folder)
  .filter((file) => file.endsWith('.test.mjs'))
  .map((file) => path.join(folder, file)))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

const counts = { passed: 0, failed: 0, skipped: 0 };

// A path, also where node gives a URL or half of one.
function plain(name) {
  return path.resolve(name.replace(/^file:(\/\/)?/, ''));
}

function isFileItself(event) {
  return event.nesting === 0 && files.includes(plain(event.name));
}

function where(event) {
  return event.file ? `${path.relative(process.cwd(), plain(event.file))}: ` : '';
}

function tell(event) {
  const { error, duration_ms: duration } = event.details;
  const cause = error?.cause ?? error;
  const text = cause?.stack ?? inspect(cause);
  console.log(`--- FAILED ${where(event)}${event.name} (${Math.round(duration)} ms)`);
  console.log(text.replace(/^/gm, '    '));
}

if (!existsSync(binary)) {
  console.log(`--- FAILED: there is no ${binary}; build it or name another in REELAY_BIN`);
  counts.failed++;
} else {
  const concurrency = Number(process.env.E2E_JOBS ?? Math.min(4, os.cpus().length + 1));
  const stream = run({ files, concurrency, timeout: FILE_TIMEOUT });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite' || isFileItself(event)) return;
    if (event.skip !== undefined || event.todo !== undefined) counts.skipped++;
    else counts.passed++;
  });
  stream.on('test:fail', (event) => {
    // A suite or file that failed only because of a test in it was told already.
    if (event.details.error?.failureType === 'subtestsFailed') return;
    if (event.todo !== undefined) {
      counts.skipped++;
      return;
    }
    counts.failed++;
    tell(event);
  });
  stream.on('test:stdout', (event) => {
    if (process.env.E2E_VERBOSE) process.stdout.write(event.message);
  });
  await new Promise((resolve) => stream.resume().on('end', resolve));
}

console.log(`e2e: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
if (summary) writeFileSync(summary, JSON.stringify(counts));
process.exitCode = counts.failed > 0 ? 1 : 0;
