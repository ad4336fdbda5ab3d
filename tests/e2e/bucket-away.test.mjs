// A bucket that goes away in the middle, for longer than there is patience, and comes back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { startSwift, through } from '../support/buckets.mjs';
import { bulkyClip } from '../support/clips.mjs';
import { Direct, MiB, nothingRemains, remains } from '../support/direct.mjs';
import { faultyBefore } from '../support/faulty.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

let swift;
let large;

before(async () => {
  swift = await startSwift();
  large = readFileSync(await bulkyClip());
});
after(() => swift?.stop());

async function begin(t, ...args) {
  const relay = await faultyBefore(t, swift);
  const storage = ['--storage', through(swift.url, swift, relay.origin), '--preset', 'ultrafast'];
  const server = await Server.during(t, { args: [...storage, ...args] });
  return { relay, server, bucket: { ...swift, endpoint: relay.origin } };
}

// Of parts, and of objects that become parts.
async function sent({ server, bucket }) {
  const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 6 * MiB });
  const urls = [];
  for (const index of upload.indexes) urls.push(await upload.url(index));
  for (const index of upload.indexes) await upload.putTo(urls[index], upload.chunk(index));
  return upload;
}

const isCompletion = ({ method, path }) => method === 'POST' && path.includes('uploadId=');
const isSource = ({ method, path }) => method === 'GET' && /\/source\?/.test(path) && !path.includes('uploadId=');

// Amazon forgets a multipart upload that was completed, Swift does not.
const forget = (relay) => relay.refuse({ status: 404, matching: ({ path }) => path.includes('uploadId=') });

test('what was assembled and cannot be fetched is not to be sent again', { timeout: 120_000 }, async (t) => {
  const { relay, ...world } = await begin(t, '--storage-patience', '3s');
  const upload = await sent({ ...world });
  relay.refuse({ matching: isSource });
  await upload.assemble();
  assert.match((await upload.reach('failed')).error, /503/);
  relay.faults = [];
  forget(relay);
  await upload.finish();
  await nothingRemains(swift, upload);
});

test('what was assembled and nobody heard of it is not to be sent again', { timeout: 120_000 }, async (t) => {
  const { relay, ...world } = await begin(t, '--storage-patience', '3s');
  const upload = await sent({ ...world });
  relay.truncate({ bytes: 0, matching: isCompletion });
  await upload.assemble();
  await upload.reach('failed');
  relay.faults = [];
  forget(relay);
  await upload.finish();
  await nothingRemains(swift, upload);
});

test('killed behind the completion, it takes the file and nothing else for it', { timeout: 120_000 }, async (t) => {
  const { relay, server, bucket } = await begin(t);
  const upload = await sent({ server, bucket });
  let hasCompleted = false;
  let dead;
  relay.before = (asked) => {
    if (hasCompleted && isSource(asked)) dead ??= server.kill();
    hasCompleted ||= isCompletion(asked);
    return dead === undefined;
  };
  await upload.assemble();
  await waitFor(() => dead !== undefined, 'the file to be asked for');
  await dead;
  relay.before = null;
  relay.requests.length = 0;
  forget(relay);
  await server.start();
  await upload.complete();
  const fetched = relay.requests.filter(({ method, path }) => method === 'GET' && path.includes(`/${upload.id}/chunks/`));
  assert.deepEqual(fetched, []);
  await nothingRemains(swift, upload);
});

test('a chunk that is sent again in the last moment does no harm', { timeout: 120_000 }, async (t) => {
  const { relay, server, bucket } = await begin(t);
  const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 6 * MiB });
  await upload.putAll();
  const last = upload.chunks - 1;
  const url = await upload.url(last);
  const box = Buffer.from('0000000866726565', 'hex'); // "free"
  let isAgain = false;
  relay.before = async (asked) => {
    if (!isCompletion(asked) || isAgain) return true;
    isAgain = true;
    await upload.putTo(url, Buffer.concat([upload.chunk(last), box]));
    return true;
  };
  await upload.finish();
  assert.equal(relay.requests.filter(isCompletion).length, 2);
});

const isListOfParts = ({ method, path }) => method === 'GET' && path.includes('uploadId=');
let lists = 0;
const moments = {
  // The first one is of assemble-chunks itself.
  'what is there is listed': (asked) => isListOfParts(asked) && ++lists > 1,
  'the file is fetched': isSource,
  'chunks are removed': ({ method, path }) => method === 'DELETE' && path.includes('/chunks/'),
};

for (const [moment, matching] of Object.entries(moments)) {
  test(`who cancels when ${moment} does not wait for a bucket that is away`, { timeout: 120_000 }, async (t) => {
    const { relay, ...world } = await begin(t, '--storage-patience', '10m');
    const upload = await sent({ ...world });
    let isMet = false;
    relay.refuse({
      retryAfter: 300,
      count: 1,
      matching: (asked) => {
        isMet ||= matching(asked);
        return isMet;
      },
    });
    await upload.assemble();
    await waitFor(() => isMet, moment);
    const answer = await world.server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
    assert.ok(answer.status < 300, answer.text);
    await upload.reach('cancelled');
    await nothingRemains(swift, upload);
  });
}

test('who watches does not wait for what is being sent', { timeout: 120_000 }, async (t) => {
  const { relay, ...world } = await begin(t, '--storage-parallel', '2');
  const first = await sent({ ...world });
  const { hls_path: folder } = await first.finish();
  const isSegment = ({ method, path }) => method === 'PUT' && path.includes('/videos/hls/');
  let held = 0;
  let release;
  const released = new Promise((resolve) => (release = resolve));
  relay.before = async (asked) => {
    if (!isSegment(asked)) return true;
    held++;
    await released;
    return true;
  };
  const second = await sent({ ...world });
  await second.assemble();
  await waitFor(() => held > 0, 'segments to be sent');
  const answers = await Promise.all(['master.m3u8', '180p/index.m3u8'].map((name) => world.server.get(`/${folder}/${name}`)));
  assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
  release();
  await second.complete();
});

test('a viewer whom the bucket keeps waiting does not hold up the end', { timeout: 120_000 }, async (t) => {
  const { relay, ...world } = await begin(t);
  const upload = await sent({ ...world });
  const { hls_path: folder } = await upload.finish();
  relay.before = ({ path }) => !path.includes('.m3u8') || new Promise(() => {});
  relay.requests.length = 0;
  const asked = world.server.get(`/${folder}/180p/index.m3u8`);
  await waitFor(() => relay.requests.some(({ path }) => path.includes('.m3u8')), 'the playlist to be asked for');
  await world.server.stop();
  assert.equal((await asked).status, 503);
});

test('what cannot be removed now is removed later, without a restart', { timeout: 120_000 }, async (t) => {
  const { relay, ...world } = await begin(t, '--storage-patience', '3s', '--upload-ttl', '30s');
  const upload = await sent({ ...world });
  const isSegment = ({ method, path }) => method === 'PUT' && path.includes('/videos/hls/');
  const published = () => remains(swift, `videos/hls/${upload.id}-`);
  relay.before = (asked) => !isSegment(asked) || !asked.path.includes('.m3u8') || new Promise(() => {});
  await upload.assemble();
  await waitFor(async () => (await published()).length > 0, 'segments in the bucket');
  relay.refuse({ matching: ({ method }) => method === 'DELETE' });
  await world.server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  await upload.reach('cancelled');
  await waitFor(() => world.server.log.includes('event=remains_kept'), 'the bucket to refuse');
  assert.ok((await published()).length > 0);
  relay.faults = [];
  relay.before = null;
  await waitFor(async () => (await published()).length === 0, 'nothing to be left of what was sent');
  await nothingRemains(swift, upload);
});

const isListOfUploads = ({ method, path }) => method === 'GET' && path.includes('max-uploads');

// As MinIO does it.
test('where multipart uploads are listed by a whole key only, none is left', { timeout: 120_000 }, async (t) => {
  const { relay, server, bucket } = await begin(t);
  relay.refuse({
    status: 200,
    body: '<ListMultipartUploadsResult/>',
    matching: (asked) => isListOfUploads(asked) && /prefix=[^&]*%2F(&|$)/i.test(asked.path),
  });
  const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 6 * MiB, declares: true });
  await upload.put(0);
  assert.notEqual((await remains(swift, `uploads/${upload.id}/`)).length, 0);
  await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  await nothingRemains(swift, upload);
});

test('where multipart uploads cannot be listed, objects go all the same', { timeout: 120_000 }, async (t) => {
  const { relay, server, bucket } = await begin(t, '--storage-patience', '3s');
  relay.refuse({ status: 501, matching: isListOfUploads });
  const upload = await Direct.create(server, { bytes: large, swift: bucket, size: 4 * MiB });
  await upload.putAll();
  await upload.finish();
  await nothingRemains(swift, upload);
  await waitFor(() => server.log.includes('event=remains_kept'), 'it to be said that something may be left');
});
