// rebinding.mjs BINARY pages|files: in a network of its own (unshare -r -n -m), a name server
// that answers otherwise the second time, a server at public addresses, a canary on the
// loopback, and the program. Tells as JSON what became of it.
import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { Canary } from './canary.mjs';
import { clipBytes } from './clips.mjs';
import { Server, temporaryFolder } from './server.mjs';
import { waitFor } from './wait.mjs';

const withPages = process.argv[3] === 'pages';
const PUBLIC = '93.184.215.14';
const OWN = '93.184.215.15';
const final = ['completed', 'failed', 'cancelled'];

// A name's answers, one after the other; the last one stays.
const names = {
  'steady.test': [[PUBLIC]],
  'both.test': [['127.0.0.1', PUBLIC]],
  'inside.test': [['127.0.0.1']],
  'metadata.test': [['169.254.169.254']],
  'own.test': [[OWN]],
  'flip.test': [[PUBLIC], ['127.0.0.1']],
  'page.test': [[PUBLIC], ['127.0.0.1']],
  'segment.test': [['127.0.0.1']],
};
const asked = {};

const nameOf = (query) => {
  const labels = [];
  let at = 12;
  for (; query[at] > 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
  return { name: labels.join('.').toLowerCase(), end: at + 5, type: query.readUInt16BE(at + 1) };
};

// RFC 1035, 4: a header, the question again, and addresses with no time to live.
function answerTo(query) {
  const { name, end, type } = nameOf(query);
  const answers = names[name];
  let found = [];
  if (type === 1 && answers) {
    asked[name] = (asked[name] ?? 0) + 1;
    found = answers[Math.min(asked[name], answers.length) - 1];
  }
  const head = Buffer.from(query.subarray(0, end));
  head.writeUInt16BE(answers ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(found.length, 6);
  head.writeUInt32BE(0, 8);
  const records = found.map((address) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]));
  return Buffer.concat([head, ...records]);
}

async function serveNames() {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (query, from) => socket.send(answerTo(query), from.port, from.address));
  await new Promise((resolve) => socket.bind(53, '127.0.0.1', resolve));
  return socket;
}

// Half of flip.test's file comes, then nothing: who goes on must look it up again.
function servePages(bytes) {
  const server = http.createServer((request, answer) => {
    const host = request.headers.host;
    if (request.url.endsWith('.m3u8')) {
      const uri = host === 'page.test' ? 'http://page.test/s.ts' : 'http://segment.test/s.ts';
      answer.writeHead(200, { 'content-type': 'application/vnd.apple.mpegurl' });
      answer.end(`#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n${uri}\n#EXT-X-ENDLIST\n`);
    } else if (request.method === 'GET' && host === 'flip.test') {
      answer.writeHead(200, { 'content-type': 'video/mp4', 'content-length': bytes.length, etag: '"1"', 'accept-ranges': 'bytes' });
      answer.write(bytes.subarray(0, bytes.length / 2), () => setImmediate(() => answer.destroy()));
    } else {
      answer.writeHead(200, { 'content-type': 'video/mp4', 'content-length': bytes.length }).end(bytes);
    }
  });
  return new Promise((resolve) => server.listen(80, PUBLIC, () => resolve(server)));
}

const ip = (...words) => execFileSync('ip', words);
const folder = temporaryFolder();
ip('link', 'set', 'lo', 'up');
ip('addr', 'add', `${OWN}/32`, 'dev', 'lo');
writeFileSync(path.join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:2 attempts:2\n');
execFileSync('mount', ['--bind', path.join(folder, 'resolv.conf'), '/etc/resolv.conf']);

const nameServer = await serveNames();
const canary = new Canary();
await canary.start(80, ['127.0.0.1', '::1', OWN]);
const reelay = await Server.start({ args: ['--downloads', '8'] });
// Behind its start: the address is another machine's, as far as it knows.
ip('addr', 'add', `${PUBLIC}/32`, 'dev', 'lo');
const pages = await servePages(await clipBytes());

const urls = ['steady', 'both', 'inside', 'metadata', 'own', 'flip'].map((name) => `http://${name}.test/v.mp4`);
if (withPages) urls.push('http://page.test/a.m3u8', 'http://steady.test/a.m3u8');
const jobs = {};
await Promise.all(urls.map(async (url) => {
  const { json, status, text } = await reelay.post('/api/download', { url });
  if (status !== 202) throw new Error(`${url}: ${text}`);
  jobs[url] = await waitFor(async () => {
    const job = await reelay.job(json.jobId);
    return final.includes(job.state) && job;
  }, `the end of ${url}`, { timeout: 180_000, every: 100 });
}));
await reelay.end();
pages.closeAllConnections();
pages.close();
nameServer.close();
await canary.end();
const told = Object.entries(jobs).map(([url, { state, error }]) => [url, { state, error }]);
console.log(JSON.stringify({ canary: canary.calls, asked, jobs: Object.fromEntries(told) }));
