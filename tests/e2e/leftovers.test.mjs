// What stays on the disk when a job has ended, one way or another: the published
// tree of one that completed, the chunks of one that can be mended, nothing else.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

function below(server, folder, id) {
  const full = path.join(server.dataDir, folder);
  return existsSync(full) ? readdirSync(full).filter((name) => name.startsWith(String(id))) : [];
}

const remains = (server, id) => ['uploads', 'work', 'media/videos/hls']
  .flatMap((folder) => below(server, folder, id).map((name) => `${folder}/${name}`));

// A job is told to have ended before what it leaves is cleared away.
const leaves = (server, id, ...expected) => waitFor(
  () => String(remains(server, id)) === String(expected),
  () => `only ${expected} to be left of ${remains(server, id)}`,
);

const cancel = (upload) => upload.server.request(`/api/jobs/${upload.id}`, {
  method: 'DELETE',
  token: upload.token,
});

test('a failed upload can be mended after a restart', async (t) => {
  const server = await Server.during(t);
  const bytes = await clipBytes({ seconds: 1 });
  const upload = await Upload.create(server, { bytes, chunks: 2 });
  await upload.put(0, Buffer.alloc(upload.chunk(0).length, 'no video '));
  await upload.put(1);
  await upload.assemble();
  await upload.reach('failed');
  await leaves(server, upload.id, `uploads/${upload.id}`);

  await server.kill();
  await server.start();
  assert.equal((await upload.job()).state, 'failed');
  assert.deepEqual(await upload.present(), [0, 1]);
  await upload.put(0);
  await upload.assemble();
  await upload.complete();
  await waitFor(() => remains(server, upload.id).length === 1, 'only the published tree to be left');
});

// Each message is what the stage says when it has just begun.
for (const moment of ['Found chunks, preparing', 'Starting HLS conversion', 'Uploading HLS files to storage']) {
  test(`a job cancelled at "${moment}" leaves nothing behind`, async (t) => {
    const server = await Server.during(t);
    const bytes = await clipBytes({ seconds: 1 });
    // The last moments are short: a job that was quicker is no proof.
    const state = await waitFor(async () => {
      const upload = await Upload.create(server, { bytes, chunks: 2 });
      await upload.putAll();
      const watcher = await upload.watch();
      await upload.assemble();
      await watcher.until((message) => message.message === moment, moment);
      const answer = await cancel(upload);
      const job = await upload.reach('completed', 'cancelled');
      watcher.drop();
      assert.equal(answer.status, job.state === 'cancelled' ? 202 : 409);
      if (job.state === 'completed') return undefined;
      assert.equal((await cancel(upload)).status, 409);
      await waitFor(() => remains(server, upload.id).length === 0, 'nothing to be left');
      return job.state;
    }, `a cancellation at ${moment}`);
    assert.equal(state, 'cancelled');
  });
}

test('a cancellation that was promised is kept, whatever happens then', async (t) => {
  const server = await Server.during(t);
  const bytes = await clipBytes({ seconds: 1 });
  const moments = ['Found chunks, preparing', 'Saving assembled video', 'Starting HLS conversion', 'Download complete'];
  for (const moment of moments) {
    const upload = await Upload.create(server, { bytes, chunks: 2 });
    await upload.putAll();
    const watcher = await upload.watch();
    await upload.assemble();
    await watcher.until((message) => message.message === moment, moment);
    const answer = await cancel(upload);
    await server.kill();
    await server.start();
    if (answer.status === 202) assert.equal((await upload.reach('completed', 'cancelled')).state, 'cancelled');
    const left = answer.status === 202 ? 0 : 1;
    await waitFor(() => remains(server, upload.id).length === left, 'the rest to be cleared away');
  }
});

for (const share of [0.3, 0.55]) {
  test(`a short video of which ${share * 100} % came fails, and what broke off is named`, async (t) => {
    const server = await Server.during(t);
    const whole = await clipBytes({ seconds: 4 });
    const upload = await Upload.create(server, {
      bytes: whole.subarray(0, Math.floor(whole.length * share)),
      chunks: 2,
    });
    await upload.putAll();
    await upload.assemble();
    const job = await upload.reach('completed', 'failed');
    assert.equal(job.state, 'failed');
    assert.match(job.error, /breaks off after [\d.]+ of 4\.0 s/);
    await leaves(server, upload.id, `work/${upload.id}`);
  });
}

test('a second signal while a conversion runs ends the server at once', async (t) => {
  const server = await Server.during(t, { args: ['--drain-timeout', '10m'] });
  const upload = await Upload.create(server, { bytes: await clipBytes({ seconds: 60 }), chunks: 1 });
  await upload.putAll();
  await upload.assemble();
  await waitFor(() => server.children().length > 0, 'ffmpeg to run');
  server.process.kill('SIGTERM');
  await waitFor(() => server.log.includes('event=draining'), 'the first signal to be noticed');
  await server.stop('SIGINT');
});
