// The server is cut down at random moments of a job's life, twenty times. Each
// time it comes back, the job ends well, nothing acknowledged is lost, and
// nobody sees anything older than what was seen before. SEED=n repeats a run.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { entries, verify } from '../support/hls.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { randomOf, seed, waitFor, within } from '../support/wait.mjs';
import { watch } from '../support/watcher.mjs';

const ROUNDS = 20;
const SECONDS = 4;
const CHUNKS = 6;

const STAGES = ['assembling', 'converting', 'complete'];

// Comes back whenever the connection ends, like the documents' clients do, and
// keeps everything it hears in one row.
class Faithful {
  heard = [];

  constructor(server, upload) {
    Object.assign(this, { server, upload, stopped: false });
    this.done = this.#run();
  }

  async #run() {
    while (!this.stopped) {
      const target = `/socket/stream/progress/${this.upload.id}/?token=${this.upload.token}`;
      const watcher = await watch(`ws://${this.server.host}${target}`).catch(() => null);
      if (watcher) {
        this.watcher = watcher;
        if (this.stopped) watcher.drop();
        watcher.onmessage = (message) => message.type !== 'connection' && this.heard.push(message);
        await watcher.closed;
      } else {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  get sawEnd() {
    return this.heard.some((message) => message.type === 'complete');
  }

  async stop() {
    this.stopped = true;
    this.watcher?.drop();
    await this.done;
  }
}

const rankOf = (message) => {
  const stage = message.type === 'complete' ? 'complete' : message.stage;
  return STAGES.indexOf(stage) * 1000 + (message.progress ?? 0);
};

// A master playlist in the place for finished ones is whole, always.
function checkPublished(dataDir) {
  const folder = path.join(dataDir, 'media', 'videos', 'hls');
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const master = path.join(folder, name, 'master.m3u8');
    if (!existsSync(master)) continue;
    const { uris, attributes } = entries(readFileSync(master, 'utf8'));
    assert.ok(uris.length > 0, `${master} lists nothing`);
    for (const uri of [...uris, ...attributes]) {
      const media = path.join(path.dirname(master), uri);
      const parts = entries(readFileSync(media, 'utf8'));
      assert.match(readFileSync(media, 'utf8'), /#EXT-X-ENDLIST/, `${media} is half-made`);
      for (const part of [...parts.uris, ...parts.attributes]) {
        assert.ok(existsSync(path.join(path.dirname(media), part)), `${media} lists ${part}, which is not there`);
      }
    }
  }
}

describe('a server that is cut down', () => {
  const random = randomOf(seed);
  let server;
  let bytes;
  let usual; // ms that a job takes when nothing happens

  before(async () => {
    bytes = await clipBytes({ seconds: SECONDS, size: '640x360' });
    server = await Server.start();
    await server.token();
    const began = Date.now();
    const upload = await Upload.create(server, { bytes, chunks: CHUNKS });
    await upload.putAll();
    await upload.assemble();
    await upload.complete();
    usual = Date.now() - began;
  });
  after(() => server.end());

  // The client: sends what is missing and asks for the assembly until it was
  // promised both; a server that is away is asked again.
  async function insist(upload, promised) {
    while (!promised.assembly) {
      try {
        const present = await upload.present();
        for (const index of promised.chunks) {
          assert.ok(present.includes(index), `chunk ${index} was acknowledged and is lost`);
        }
        for (const index of upload.indexes.filter((one) => !present.includes(one))) {
          await upload.put(index);
          promised.chunks.add(index);
        }
        const answer = await upload.tryAssemble();
        // 409: an earlier call did arrive; only its answer was lost.
        assert.ok([202, 409].includes(answer.status), answer.text);
        promised.assembly = true;
      } catch (error) {
        if (!['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  for (let round = 0; round < ROUNDS; round++) {
    // One moment in each twentieth of the time that a job usually takes.
    const share = (round + random()) / ROUNDS;
    test(`at ${Math.round(share * 100)} % of a job (seed ${seed})`, { timeout: 240_000 }, async () => {
      const upload = await Upload.create(server, { bytes, chunks: CHUNKS });
      const faithful = new Faithful(server, upload);
      const promised = { chunks: new Set(), assembly: false };
      const client = insist(upload, promised);
      client.catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, share * usual));
      await server.kill();
      checkPublished(server.dataDir);
      await server.start();
      await within(client, 'the client to be promised everything');
      const job = await waitFor(
        async () => {
          checkPublished(server.dataDir);
          const state = await upload.job();
          return ['completed', 'failed', 'cancelled'].includes(state?.state) && state;
        },
        `job ${upload.id} to end`,
        { timeout: 90_000, every: 100 },
      );
      assert.equal(job.state, 'completed', JSON.stringify(job));
      await waitFor(() => faithful.sawEnd, 'the watcher to hear of the end');
      await faithful.stop();
      const ranks = faithful.heard.map(rankOf);
      for (let at = 1; at < ranks.length; at++) {
        assert.ok(ranks[at] >= ranks[at - 1], `older after newer: ${JSON.stringify(faithful.heard.slice(at - 1, at + 1))}`);
      }
      await verify(server, job, SECONDS);
    });
  }

  test('nothing is left of what was broken off', async () => {
    await waitFor(() => server.children('ffmpeg').length === 0, 'every ffmpeg to end');
    const leftovers = (folder) => (existsSync(folder) ? readdirSync(folder) : []);
    await waitFor(
      () => leftovers(path.join(server.dataDir, 'work')).length === 0 &&
        leftovers(path.join(server.dataDir, 'uploads')).length === 0,
      'scratch folders and chunks to be cleaned away',
    );
  });
});
