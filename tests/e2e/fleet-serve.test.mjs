// A node that serves is killed with everybody on it: they go to the other one, and
// see the present there, and then the end.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';

import { Audience, Fleet, measure } from '../support/fleet.mjs';
import { verify } from '../support/hls.mjs';
import { grown, treeOf } from '../support/segments.mjs';
import { waitFor, within } from '../support/wait.mjs';

// Server-sent events do not tell again what the client says that it has.
const isUpToDate = ({ door, heard }, node, { seq }) =>
  (door === 'events' ? heard.at(-1).seq >= seq : heard.at(-1).node === node);

test('a node is killed: its viewers see the present at the other one, and the end', { timeout: 180_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const { a, b } = fleet;
  const upload = await fleet.upload();
  const audience = await Audience.during(t, [[a, b], [b, a]], upload.id, upload.token);
  await upload.assemble();
  const holder = await fleet.holder();
  await holder.paced(() => grown(treeOf(fleet, upload), 1));
  await holder.paced(() => audience.progress());
  holder.freeze();
  upload.server = b;
  const present = await upload.job();
  await measure(t, 'everybody sees the present at the other node', async () => {
    await a.kill();
    await waitFor(() => audience.viewers.every((viewer) => isUpToDate(viewer, b, present)), 'those who were on it to be told');
  });
  holder.thaw();
  const job = await upload.complete();
  await audience.end();
  await verify(b, job, 20);

  // It comes back to a job that is over, and tells that.
  await a.start();
  await a.ready();
  assert.deepEqual(await a.job(upload.id, upload.token), job);
  const late = await Audience.during(t, [[a]], upload.id, upload.token, ['stream', 'jobs', 'download', 'events', 'socketio', 'plain']);
  await late.end();
  for (const viewer of late.viewers) assert.equal(viewer.heard.length, 1, viewer.told());
});

test('an upload that was begun at a node that dies is finished at the other', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t);
  const upload = await fleet.upload({ seconds: 2, chunks: 4 });
  await fleet.a.kill();
  upload.server = fleet.b;
  assert.deepEqual(await upload.present(), [0, 1, 2, 3]);
  await upload.assemble();
  await verify(fleet.b, await upload.complete(), 2);
});

test('viewers of a node that is asked to end are sent to the other', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { workers: 1 });
  const { a, b } = fleet;
  const upload = await fleet.upload({ seconds: 20 });
  const audience = await Audience.during(t, [[a, b]], upload.id, upload.token);
  await upload.assemble();
  const holder = await fleet.holder();
  await holder.paced(() => audience.progress());
  holder.freeze();
  upload.server = b;
  const present = await upload.job();
  await a.stop();
  await waitFor(() => audience.viewers.every((viewer) => isUpToDate(viewer, b, present)), 'everybody to be told');
  holder.thaw();
  await upload.complete();
  await audience.end();
});

test('nodes that start leave alone what others are just receiving', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.during(t, { serves: 1, workers: 0 });
  const upload = await fleet.upload({ seconds: 2, chunks: 1 });
  const body = upload.chunk(0);
  const put = http.request(await upload.url(0), {
    method: 'PUT', agent: false, headers: { 'content-length': body.length, 'content-type': 'application/octet-stream' },
  });
  const answer = new Promise((resolve, reject) => put.on('response', resolve).on('error', reject));
  const half = body.length >> 1;
  await new Promise((resolve) => put.write(body.subarray(0, half), resolve));
  await waitFor(() => fleet.receiving(upload.id) > 0, 'half a chunk to be there');
  await fleet.serve();
  await fleet.worker();
  put.end(body.subarray(half));
  const { statusCode } = await within(answer, 'an answer');
  assert.ok(statusCode >= 200 && statusCode < 300, `${statusCode}`);
  upload.server = fleet.b;
  await upload.assemble();
  await verify(fleet.b, await upload.complete(), 2);
});
