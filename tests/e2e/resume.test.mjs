// A conversion that is interrupted goes on from the segments it has finished:
// they are the very same files in the end, and nobody who plays it sees a seam.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { bundle, launch, openPage } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { masterUrl, verify } from '../support/hls.mjs';
import { paced } from '../support/pace.mjs';
import { SEGMENT, grown, inodes, renditions, treeOf } from '../support/segments.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor } from '../support/wait.mjs';

const run = promisify(execFile);

const SECONDS = 40;
const RATE = 15;
const SLOW = ['--preset', 'slow']; // so that it can be interrupted, several times

const kept = (server) => [...server.log.matchAll(/event=conversion_resumed\b.*?\bsegments=(\d+)/g)]
  .map((match) => Number(match[1]));

const begin = async (server, options) => {
  const bytes = readFileSync(await clip({ seconds: SECONDS, size: '640x480', rate: RATE, ...options }));
  const upload = await Upload.create(server, { bytes });
  await upload.putAll();
  await upload.assemble();
  return upload;
};

// Every packet's time: evenly apart, without a gap and without a double.
async function assertEven(url) {
  const { stdout } = await run('ffprobe', [
    '-v', 'error', '-show_entries', 'packet=pts,dts', '-of', 'csv=p=0', url], { maxBuffer: 1 << 26 });
  const rows = [...new Set(stdout.split('\n').filter((line) => /\d/.test(line)))]
    .map((line) => line.split(',').map(Number));
  for (const column of [0, 1]) {
    const times = rows.map((row) => row[column]).sort((a, b) => a - b);
    const steps = new Set(times.slice(1).map((time, at) => time - times[at]));
    assert.equal(steps.size, 1, `${url}: steps of ${[...steps]}`);
  }
  return rows.length;
}

async function assertSeamless(server, job, { sound = true } = {}) {
  const { master, media } = await verify(server, job, SECONDS);
  const pictures = media.filter(({ url }) => /\/\d+p\//.test(url));
  assert.equal(pictures.length, 2);
  assert.equal(media.length, sound ? 3 : 2);
  for (const { url, segments: list, map } of media) {
    const { stderr } = await run('ffmpeg', ['-v', 'error', '-nostdin', '-i', url, '-f', 'null', '-']);
    assert.equal(stderr, '', url);
    const packets = await assertEven(url);
    if (!pictures.some((one) => one.url === url)) continue;
    // As many as when nothing comes in between.
    assert.equal(packets, SECONDS * RATE, url);
    assert.equal(list.length, SECONDS / 4, url);
    // And nothing beside what is listed.
    const folder = path.join(server.dataDir, 'media', path.dirname(new URL(url).pathname));
    const listed = ['index.m3u8', ...[map, ...list].map((one) => path.basename(new URL(one).pathname))];
    assert.deepEqual(readdirSync(folder).sort(), listed.sort());
  }
  return master;
}

function assertKept(server, job, before, count) {
  const tree = path.join(server.dataDir, 'media', job.hls_path);
  const after = inodes(tree);
  for (const rendition of renditions(tree)) {
    for (let at = 0; at < count; at++) {
      const name = `${rendition}/s${String(at).padStart(5, '0')}.m4s`;
      assert.equal(after.get(name), before.get(name), `${name} was made again`);
    }
  }
}

const PLAYER = (master, from) => `
  import Hls from '../../web/node_modules/hls.js/dist/hls.mjs';
  const video = document.querySelector('video');
  window.errors = [];
  window.furthest = 0;
  window.holes = () => video.buffered.length > 1;
  const hls = new Hls({ startPosition: ${from} });
  hls.on(Hls.Events.ERROR, (_, { details, fatal }) => window.errors.push(details + (fatal ? ' (fatal)' : '')));
  hls.loadSource(${JSON.stringify(master)});
  hls.attachMedia(video);
  video.addEventListener('timeupdate', () => (window.furthest = Math.max(window.furthest, video.currentTime)));
  video.addEventListener('loadedmetadata', () => video.play());
`;

// hls.js plays it from before the seam to behind it.
async function assertPlays(server, master, seam) {
  const browser = await launch();
  try {
    const script = await bundle(PLAYER(master, seam - 1.5));
    const page = await openPage(browser, server, { body: '<video muted width=320></video>', script });
    await waitFor(() => page.evaluate((to) => window.furthest > to, seam + 1.5), `the player to pass ${seam} s`);
    assert.deepEqual(await page.evaluate('window.errors'), []);
    assert.equal(await page.evaluate('window.holes()'), false, 'what is buffered has a hole');
    assert.deepEqual(page.broke, []);
  } finally {
    await browser.close();
  }
}

test('what was made before a kill is kept, however often', { timeout: 300_000 }, async (t) => {
  const server = await Server.during(t, { args: SLOW });
  const upload = await begin(server);
  const tree = treeOf(server, upload);
  let before = new Map();
  let progress = 0;
  for (const count of [3, 5, 7]) {
    await paced(server, () => grown(tree, count));
    await server.kill();
    const now = inodes(tree);
    const last = kept(server).at(-1) ?? 0;
    for (const [name, inode] of before) {
      if (Number(SEGMENT.exec(path.basename(name))[1]) < last) assert.equal(now.get(name), inode, name);
    }
    before = now;
    await server.start();
    const job = await upload.job();
    assert.ok(job.progress >= progress, `${job.progress} behind ${progress}`);
    progress = job.progress;
  }
  const job = await upload.complete();
  const counts = kept(server);
  assert.equal(counts.length, 3, server.log);
  assert.ok(counts[0] >= 2 && counts[1] >= 4 && counts[2] >= 6, `${counts}`);
  assert.doesNotMatch(server.log, /conversion_repeated/);
  assertKept(server, job, before, counts[2]);
  const master = await assertSeamless(server, job);
  await assertPlays(server, master, counts[2] * 4);
});

test('what was made before SIGTERM is kept', { timeout: 300_000 }, async (t) => {
  const server = await Server.during(t, { args: [...SLOW, '--drain-timeout', '100ms'] });
  const upload = await begin(server);
  const tree = treeOf(server, upload);
  await paced(server, () => grown(tree, 4));
  await server.stop();
  const before = inodes(tree);
  await server.start();
  const job = await upload.complete();
  const [count] = kept(server);
  assert.ok(count >= 3, server.log);
  assertKept(server, job, before, count);
  await assertSeamless(server, job);
});

test('other options begin anew', { timeout: 300_000 }, async (t) => {
  const server = await Server.during(t, { args: SLOW });
  const upload = await begin(server, { sound: false });
  await paced(server, () => grown(treeOf(server, upload), 3));
  await server.kill();
  server.args = ['--preset', 'ultrafast'];
  await server.start();
  const job = await upload.complete();
  assert.deepEqual(kept(server), []);
  await assertSeamless(server, job, { sound: false });
});

test('a conversion that had been broken off can be cancelled', { timeout: 120_000 }, async (t) => {
  const server = await Server.during(t, { args: SLOW });
  const upload = await begin(server);
  const tree = treeOf(server, upload);
  await paced(server, () => grown(tree, 3));
  await server.kill();
  await server.start();
  await waitFor(() => kept(server).length > 0 && server.children('ffmpeg').length > 0, 'it to go on');
  const answer = await server.request(`/api/jobs/${upload.id}`, { method: 'DELETE', token: upload.token });
  assert.ok(answer.status < 300, answer.text);
  await upload.reach('cancelled');
  await waitFor(() => !existsSync(path.dirname(path.dirname(tree))), 'scratch to be cleared');
  assert.equal(server.children('ffmpeg').length, 0);
});
