// An upload's stages as the stream door tells them: the percent table and the
// messages of its document, word for word.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { clip, clipBytes } from '../support/clips.mjs';
import { verify } from '../support/hls.mjs';
import { paced } from '../support/pace.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

// [stage, percent, message], those that are said at one moment.
const TABLE = [
  ['assembling', 0, 'Starting chunk assembly'],
  ['assembling', 5, 'Found chunks, preparing'],
  ['assembling', 55, 'Saving assembled video'],
  ['assembling', 70, 'Cleaning up chunks'],
  ['assembling', 100, 'Assembly complete'],
  ['converting', 0, 'Starting HLS conversion'],
  ['converting', 5, 'Downloading from storage'],
  ['converting', 15, 'Download complete'],
  ['converting', 20, 'FFmpeg conversion running'],
  ['converting', 70, 'Conversion complete'],
  ['converting', 90, 'Uploading HLS files to storage'],
  ['converting', 100, 'Complete'],
];

test('an upload says every step of the document, in order', async (t) => {
  const server = await Server.during(t);
  const bytes = readFileSync(await clip({ seconds: 8, size: '640x360' }));
  const upload = await Upload.create(server, { bytes, chunks: 10 });
  const watcher = await upload.watch();
  await upload.putAll();
  await upload.assemble();
  const isRunning = ({ message }) => message === 'FFmpeg conversion running';
  await paced(server, () => waitFor(() => watcher.messages.filter(isRunning).length > 1, 'ffmpeg to run for a while'));
  await watcher.until((message) => message.type === 'complete', 'the end', { timeout: 120_000 });
  await watcher.settle();

  const steps = watcher.messages.filter((message) => message.type === 'progress');
  for (const step of steps) {
    assert.equal(step.status, 'processing');
    assert.equal(step.video_id, upload.id);
  }
  const said = steps.map(({ stage, progress, message }) => [stage, progress, message]);
  let at = 0;
  for (const row of TABLE) {
    const found = said.findIndex((one, index) => index >= at && String(one) === String(row));
    assert.ok(found >= 0, `"${row}" was not said behind ${said[at - 1]}:\n${said.join('\n')}`);
    at = found + 1;
  }

  const reading = said.filter(([, , message]) => message.startsWith('Reading chunk'));
  assert.deepEqual(reading.map(([, , message]) => message), upload.indexes.map((i) => `Reading chunk ${i + 1}/10`));
  for (const [stage, percent] of reading) {
    assert.equal(stage, 'assembling');
    assert.ok(percent >= 10 && percent <= 50, `${percent}`);
  }
  const running = said.filter(([, , message]) => message === 'FFmpeg conversion running');
  assert.ok(running.length > 1, 'ffmpeg runs for a while and says so');
  for (const [, percent] of running) assert.ok(percent >= 20 && percent < 70, `${percent}`);

  const words = new Set(TABLE.map(([, , message]) => message));
  const other = said.filter(([, , message]) => !words.has(message) && !/^Reading chunk \d+\/10$/.test(message));
  assert.deepEqual(other, [], 'words that the document does not know');

  for (let index = 1; index < said.length; index++) {
    const [before, now] = [said[index - 1], said[index]];
    if (before[0] === now[0]) assert.ok(now[1] >= before[1], `${now} behind ${before}`);
    else assert.deepEqual([before[0], now[0]], ['assembling', 'converting']);
  }
  await verify(server, await upload.job(), 8);
  await watcher.leave();
});

test('the other doors tell the percent of the whole: assembling to 20, converting from 20', async (t) => {
  const server = await Server.during(t);
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 4 }), chunks: 3 });
  const [jobs, download, all] = await Promise.all([
    server.watchJob(upload.id),
    server.watchDownload(upload.id),
    server.watchAll(),
  ]);
  await upload.putAll();
  await upload.assemble();
  const job = await upload.complete();
  const end = await jobs.until((message) => message.status === 'completed');
  assert.equal(end.progress, 1);
  assert.equal(end.stage, 'complete');
  await all.until((message) => message.type === 'status' && message.status === 'complete');
  await download.until((message) => message.data.status === 'completed');

  for (const { stage, progress } of jobs.messages.filter((message) => message.status === 'processing')) {
    if (stage === 'assembling') assert.ok(progress >= 0 && progress <= 0.2, `${stage} ${progress}`);
    else assert.ok(progress >= 0.2 && progress <= 1, `${stage} ${progress}`);
  }
  const whole = [
    jobs.messages.filter((message) => message.status).map((message) => message.progress),
    download.messages.map((message) => message.data.progress),
    all.messages.filter((message) => message.type === 'progress').map((message) => message.percent),
  ];
  for (const numbers of whole) {
    assert.ok(numbers.length > 3);
    for (let at = 1; at < numbers.length; at++) assert.ok(numbers[at] >= numbers[at - 1], `${numbers}`);
  }
  assert.ok(whole[1].slice(0, -1).every((percent) => percent < 100 || percent === 100), `${whole[1]}`);
  assert.equal(job.progress, 1);
  for (const watcher of [jobs, download, all]) watcher.drop();
});
