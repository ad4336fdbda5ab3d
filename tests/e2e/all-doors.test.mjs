// One job, watched at every door at once: all say the same, step by step, in the
// same order, and end with the same end.
//
// A transport is a row: how it is opened, giving what has a list of `messages`,
// and what a message of it says: the percent of this job, 'end', or undefined
// when it is about something else. `seq`, where a message shows it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Listener } from '../support/listener.mjs';
import { require } from '../support/packages.mjs';
import { Server } from '../support/server.mjs';
import { waitFor, within } from '../support/wait.mjs';

const EventSource = require('eventsource');
const { io } = require('socket.io-client');

const percent = (fraction) => Math.round(fraction * 100);

async function eventSource(server, id) {
  const source = new EventSource(`${server.origin}/api/jobs/${id}/events`);
  const messages = [];
  source.onmessage = ({ data, lastEventId }) => messages.push({ ...JSON.parse(data), id: lastEventId });
  await within(new Promise((resolve) => (source.onopen = resolve)), 'an EventSource to open');
  return { messages, drop: () => source.close() };
}

function poller(server, path) {
  const messages = [];
  let after = 0;
  let isOver = false;
  const poll = async () => {
    while (!isOver) {
      const answer = await server.get(`${path}?wait=30&after=${after}`);
      if (answer.status === 404) continue;
      after = JSON.parse(answer.headers.etag);
      messages.push({ ...answer.json, etag: after });
      isOver ||= ['completed', 'failed'].includes(answer.json.status ?? answer.json.state);
    }
  };
  poll().catch(() => {});
  return { messages, drop: () => (isOver = true) };
}

const job = ({ state, progress }) => (state === 'completed' ? 'end' : percent(progress));

// The file processing gateway, over Socket.IO and bare.
const gateway = (...names) => async (server, id) => {
  const socket = io(`${server.origin}/file-processing`, { transports: names, forceNew: true });
  const messages = [];
  socket.onAny((event, data) => messages.push({ event, data }));
  socket.on('connect', () => socket.emit('subscribe:file', { fileId: id }));
  await waitFor(() => messages.some(({ event }) => event === 'subscribed'), `subscribed over ${names}`);
  // Between two polls a client may miss steps, so the upgrade comes first.
  await waitFor(() => socket.io.engine.transport.name === names.at(-1), 'the upgrade');
  return { messages, drop: () => socket.disconnect() };
};

async function bareGateway(server, id) {
  const watcher = await server.watch('/file-processing');
  watcher.send({ event: 'subscribe:file', data: { fileId: id } });
  await watcher.until(({ event }) => event === 'subscribed', 'subscribed');
  return watcher;
}

const processing = ({ event, data }) => {
  if (event === 'processing:completed') return 'end';
  return event === 'processing:progress' && data.status === 'processing' ? data.progress : undefined;
};

const transports = {
  stream: { open: (server, id, token) => server.watchStream(id, token), says: ({ type, progress }) => (type === 'complete' ? 'end' : progress) },
  download: { open: (server, id) => server.watchDownload(id), says: ({ data }) => (data?.status === 'completed' ? 'end' : data?.progress) },
  jobs: { open: (server, id) => server.watchJob(id), says: ({ status, progress }) => (status === 'completed' ? 'end' : status && percent(progress)) },
  broadcast: { open: (server) => server.watchAll(), says: ({ video_id, type, percent: all }, id) => (video_id !== id ? undefined : type === 'status' ? 'end' : all) },
  'Socket.IO, websocket': { open: gateway('websocket'), says: processing },
  'Socket.IO, upgraded': { open: gateway('polling', 'websocket'), says: processing },
  'poll by Socket.IO': { open: gateway('polling'), says: processing },
  'file processing, bare': { open: bareGateway, says: processing },
  events: { open: (server, id) => Listener.open(`${server.origin}/api/jobs/${id}/events`), says: job, seq: ({ seq }) => seq },
  'events, npm': { open: eventSource, says: job, seq: ({ id }) => Number(id) },
  poll: { open: (server, id) => poller(server, `/api/status/${id}`), says: ({ status, progress }) => (status === 'completed' ? 'end' : progress), seq: ({ etag }) => Number(etag) },
  'poll of the job': { open: (server, id) => poller(server, `/api/jobs/${id}`), says: job, seq: ({ seq }) => seq },
};

const STEPS = 60;

async function openAll(server, id) {
  const token = await server.token();
  return Promise.all(Object.entries(transports).map(async ([name, transport]) => {
    const client = await transport.open(server, id, token);
    const mine = () => client.messages.filter((message) => transport.says(message, id) !== undefined);
    return {
      name,
      said: () => mine().map((message) => transport.says(message, id)),
      seqs: transport.seq && (() => mine().map(transport.seq)),
      drop: () => client.drop(),
    };
  }));
}

async function everywhere(clients, what) {
  for (const client of clients) {
    await waitFor(() => client.said().at(-1) === what, `${what} at ${client.name}, which said ${client.said().join()}`, { every: 2 });
  }
}

test('every door tells every step of a job, in the same order', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, { args: ['--threads', '3'] });
  const clients = await openAll(server, 'watched');
  t.after(() => clients.forEach((client) => client.drop()));
  const expected = [];
  const seqs = [];
  for (let step = 1; step <= STEPS; step++) {
    const { seq } = await server.report('watched', { stage: 'rendering', progress: step / 100, message: `${step}` });
    expected.push(step);
    seqs.push(seq);
    await everywhere(clients, step);
  }
  const { seq } = await server.report('watched', { status: 'completed', result: {} });
  await everywhere(clients, 'end');
  for (const client of clients) {
    assert.deepEqual(client.said(), [...expected, 'end'], client.name);
    if (client.seqs) assert.deepEqual(client.seqs(), [...seqs, seq], client.name);
  }
});

// Nobody waits for anybody: a poll may skip steps, the others may not, and
// nothing goes backwards anywhere.
test('every door agrees about a job in a hurry', { timeout: 180_000 }, async (t) => {
  const server = await Server.during(t, { args: ['--threads', '3'] });
  const clients = await openAll(server, 'hurried');
  t.after(() => clients.forEach((client) => client.drop()));
  const expected = [...Array(99).keys()].map((step) => step + 1);
  for (const step of expected) {
    await server.report('hurried', { stage: 'rendering', progress: step / 100, message: `${step}` });
  }
  await server.report('hurried', { status: 'completed', result: {} });
  await everywhere(clients, 'end');
  for (const client of clients) {
    const said = client.said();
    if (client.name.startsWith('poll')) {
      const steps = said.slice(0, -1);
      assert.deepEqual(steps, [...new Set(steps)].sort((a, b) => a - b), client.name);
    } else {
      assert.deepEqual(said, [...expected, 'end'], client.name);
    }
  }
  // Who comes now is told the end, and nothing else.
  const late = await openAll(server, 'hurried');
  t.after(() => late.forEach((client) => client.drop()));
  const replaying = late.filter((client) => client.name !== 'broadcast');
  await everywhere(replaying, 'end');
  for (const client of replaying) {
    assert.deepEqual(client.said().filter((what) => what !== undefined), ['end'], client.name);
    if (client.seqs) assert.deepEqual(client.seqs(), clients.find((one) => one.name === client.name).seqs().slice(-1));
  }
});
