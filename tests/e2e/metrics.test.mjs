// GET /metrics: its format, who may read it, and that its numbers are true.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { ALLOW, completed, padded, refused } from '../support/downloads.mjs';
import { Elsewhere } from '../support/elsewhere.mjs';
import { mint, withSecret } from '../support/jwt.mjs';
import { metrics, parse, untilMetric } from '../support/metrics.mjs';
import { Server, root } from '../support/server.mjs';
import { TusUpload } from '../support/tus.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

test('what /metrics says is well formed, and documented', async (t) => {
  const server = await Server.during(t);
  await (await server.watchAll()).leave();
  const answer = await server.get('/metrics');
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal(answer.headers['cache-control'], 'no-store');
  const { families, samples } = parse(answer.text);
  const documented = readFileSync(path.join(root, 'docs/operations.md'), 'utf8');
  for (const name of families.keys()) assert.ok(documented.includes(`\`${name}`), `docs/operations.md lacks ${name}`);
  const [alone] = documented.split('With `--engine redis://…` there is no');
  for (const [, name] of alone.matchAll(/`((?:reelay|process)_[a-z_]+)/g)) {
    assert.ok(families.has(name), `docs/operations.md knows ${name}, the server does not`);
  }
  for (const key of samples.keys()) {
    const limit = /^reelay_limited_total\{limit="(.*)"\}$/.exec(key)?.[1];
    if (limit) assert.ok(documented.includes(`\`${limit}\``), `docs/operations.md lacks the limit ${limit}`);
  }
  const resident = samples.get('process_resident_memory_bytes');
  assert.ok(Math.abs(resident - server.memory()) < 50e6, `${resident}`);
  assert.ok(Math.abs(samples.get('process_start_time_seconds') - Date.now() / 1000) < 60);
  assert.equal((await server.request('/metrics', { method: 'HEAD' })).text, '');
});

test('where tokens are asked for, only an admin reads /metrics', async (t) => {
  const server = await Server.during(t, { env: withSecret });
  assert.equal((await server.get('/metrics')).status, 401);
  const alice = await server.get('/metrics', mint({ sub: 'alice' }));
  assert.equal(alice.status, 403);
  assert.equal(alice.json.error.code, 'admin_only');
  const admin = await server.get('/metrics', mint({ sub: 'root', scope: 'admin' }));
  assert.equal(admin.status, 200);
  assert.ok(parse(admin.text).samples.has('reelay_updates_total'));
});

test('connections, sessions, closes, updates and deliveries are counted', async (t) => {
  const server = await Server.during(t, { args: ['--threads', '2'] });
  const old = await metrics(server);
  const has = (now, key, value) => assert.equal(now.get(key) - (old.get(key) ?? 0), value, key);
  const three = [await server.watchJob('a'), await server.watchJob('a'), await server.watchDownload('a')];
  const all = await server.watchAll();
  const refused = await server.watchStream('5');
  await refused.closed;
  await untilMetric(server, 'reelay_connections{kind="websocket"}', 4);

  await server.tell('a', { stage: 'rendering', progress: 0.1 });
  await server.tell('a', { stage: 'rendering', progress: 0.2 });
  await server.tell('a', { status: 'completed', result: {} });
  await server.tell('b', { status: 'failed', error: 'no' });
  // What another thread sends is counted, and heard, by and by.
  const greetings = 2; // answers to one client, not deliveries
  const heard = () => [...three, all].reduce((sum, one) => sum + one.messages.length, 0) - greetings;
  const told = 'reelay_deliveries_total';
  for (const watcher of [three[0], three[1], three[2]]) await watcher.until((message) => (message.status ?? message.data?.status) === 'completed');
  await all.until((message) => message.video_id === 'b' && message.type === 'status');
  await waitFor(async () => (await metrics(server)).get(told) - (old.get(told) ?? 0) === heard(), 'what was sent to be what was heard');
  let now = await metrics(server);
  has(now, 'reelay_sessions{dialect="jobs"}', 2);
  has(now, 'reelay_sessions{dialect="download"}', 1);
  has(now, 'reelay_sessions{dialect="broadcast"}', 1);
  has(now, 'reelay_connections_opened_total{kind="websocket"}', 5);
  has(now, 'reelay_websocket_server_closes_total{code="4001"}', 1);
  has(now, 'reelay_jobs_ended_total{state="completed"}', 1);
  has(now, 'reelay_jobs_ended_total{state="failed"}', 1);
  has(now, 'reelay_updates_total', 4);
  has(now, told, heard());

  await three[0].leave();
  three[1].drop();
  three[2].socket.close();
  await all.leave();
  await untilMetric(server, 'reelay_connections{kind="websocket"}', 0);
  now = await waitFor(async () => {
    const seen = await metrics(server);
    const isOver = ['jobs', 'download', 'broadcast'].every((name) => seen.get(`reelay_sessions{dialect="${name}"}`) === 0);
    return isOver && seen.get('reelay_websocket_lost_total') === 1 ? seen : null;
  }, 'the one that was lost, and the end of all sessions');
  has(now, 'reelay_websocket_client_closes_total{code="1000"}', 2);
  has(now, 'reelay_websocket_client_closes_total{code="1005"}', 1);
});

test('the bytes of uploads are counted by their door, those of downloads, and how these end', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { args: ALLOW });
  const there = await Elsewhere.during(t);
  const bytes = await clipBytes({ seconds: 1 });
  const video = padded(bytes, 3 * 1024 * 1024);
  const upload = await Upload.create(server, { bytes });
  await upload.putAll();
  const resumable = await TusUpload.create(server, { length: bytes.length });
  await resumable.send(0, bytes.subarray(0, 5000));
  await resumable.send(5000, bytes.subarray(5000));
  const form = new FormData();
  form.append('file', new Blob([bytes]), 'clip.mp4');
  assert.equal((await fetch(`${server.origin}/rpc/uploadVideo`, { method: 'POST', body: form })).status, 200);
  await completed(server, { url: there.put('/whole.mp4', video) });
  await completed(server, { url: there.put('/broken.mp4', video, { cuts: [1024 * 1024] }) });
  await refused(server, { url: there.url('/none.mp4') });
  const now = await metrics(server);
  for (const door of ['chunks', 'rpc', 'tus']) {
    assert.equal(now.get(`reelay_upload_bytes_total{door="${door}"}`), bytes.length, door);
  }
  const sent = there.requests.reduce((sum, one) => sum + one.sent, 0);
  const got = now.get('reelay_download_bytes_total');
  assert.ok(got >= 2 * video.length && got <= sent + 100, `${got} of ${sent} bytes`); // and the words of a 404
  assert.equal(now.get('reelay_downloads_ended_total{state="completed"}'), 2);
  assert.equal(now.get('reelay_downloads_ended_total{state="failed"}'), 1);
  assert.equal(now.get('reelay_downloads_ended_total{state="cancelled"}'), 0);
});
