#!/usr/bin/env node
// One Azurite (Azure's blob protocol) on a free port of the loopback, which keeps all in
// memory and ends when standard input closes. Prints one line of JSON: url, key, sas, ...
//
//     azurite_server.mjs [CERTIFICATE KEY]     with those (PEM) it speaks https
//
// Azurite 3.35 has neither Put Block From URL nor Put Blob From URL. They are done here,
// before it: the source is fetched and put, by the very URLs that were signed, so both must
// be good.
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const account = 'reelaytest';
const key = randomBytes(64).toString('base64');
const container = 'reelay-test';
const version = '2020-12-06';
const [certificate, secret] = process.argv.slice(2);
const scheme = certificate ? 'https' : 'http';
const module = certificate ? https : http;
const identity = certificate ? { cert: readFileSync(certificate), key: readFileSync(secret) } : {};

const program = fileURLToPath(new URL('../storage/node_modules/azurite/dist/src/blob/main.js', import.meta.url));
if (!existsSync(program)) {
  console.error('azurite is missing: run "make setup"');
  process.exit(2);
}

const sign = (text, by = Buffer.from(key, 'base64')) => createHmac('sha256', by).update(text, 'utf8').digest('base64');

// Shared Key, as Azure's documentation of it has the string to sign.
async function ask(method, endpoint, where, query, body) {
  const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': version };
  const length = body ? String(Buffer.byteLength(body)) : '';
  const fields = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('');
  const parameters = Object.entries(query).sort().map(([name, value]) => `\n${name}:${value}`).join('');
  const resource = `/${account}${new URL(endpoint + where).pathname}${parameters}`;
  const signature = sign(`${method}\n\n\n${length}\n\n${body ? 'application/xml' : ''}\n\n\n\n\n\n\n${fields}${resource}`);
  const answer = await fetch(`${endpoint}${where}?${new URLSearchParams(query)}`, {
    method,
    body,
    headers: {
      ...headers,
      ...(body ? { 'content-type': 'application/xml' } : {}),
      authorization: `SharedKey ${account}:${signature}`,
    },
  });
  if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
}

// For a container, as an operator would make one for Reelay (docs/storage.md).
function containerSas(name, by) {
  const expires = new Date(Date.now() + 24 * 3600 * 1000).toISOString().replace(/\.\d+Z/, 'Z');
  const permissions = 'rcwdl';
  const text = [permissions, '', expires, `/blob/${account}/${name}`, '', '', '', version, 'c', '', '', '', '', '', '', '']
    .join('\n');
  return new URLSearchParams({ sv: version, sr: 'c', sp: permissions, se: expires, sig: sign(text, by) }).toString();
}

// Pages of any site may read and write with a URL that is signed.
const cors = `<?xml version="1.0" encoding="utf-8"?><StorageServiceProperties><Cors><CorsRule>
<AllowedOrigins>*</AllowedOrigins><AllowedMethods>GET,HEAD,PUT,OPTIONS</AllowedMethods>
<AllowedHeaders>*</AllowedHeaders><ExposedHeaders>ETag</ExposedHeaders><MaxAgeInSeconds>60</MaxAgeInSeconds>
</CorsRule></Cors></StorageServiceProperties>`;

const folder = mkdtempSync(path.join(os.tmpdir(), 'reelay-azurite-'));
const child = spawn(process.execPath, [program, '--blobHost', '127.0.0.1', '--blobPort', '0',
  '--inMemoryPersistence', '--silent', '--disableTelemetry', '--disableProductStyleUrl', '--skipApiVersionCheck',
  ...(certificate ? ['--cert', certificate, '--key', secret] : []),
], { cwd: folder, env: { ...process.env, AZURITE_ACCOUNTS: `${account}:${key}` }, stdio: ['ignore', 'pipe', 'inherit'] });

function end(code) {
  child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}
child.on('exit', () => end(1));
process.on('SIGTERM', () => end(0));
process.stdin.on('end', () => end(0)).on('error', () => end(0)).resume();

const port = await new Promise((resolve) => {
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said += text;
    const found = /listen\w* (?:at|on) https?:\/\/127\.0\.0\.1:(\d+)/.exec(said);
    if (found) resolve(found[1]);
  });
});

// The same request, to Azurite; `body` instead of its own if there is one. On a connection of
// its own: Azurite may be ending a kept one just now.
function passOn(request, answer, body) {
  const headers = { ...request.headers };
  if (body) {
    delete headers['x-ms-copy-source'];
    headers['content-length'] = body.length;
  }
  const onward = module.request({
    host: '127.0.0.1', port, method: request.method, path: request.url, headers, agent: false, setHost: false,
  }, (back) => {
    answer.writeHead(back.statusCode, back.statusMessage, back.rawHeaders);
    pipeline(back, answer).catch(() => {});
  });
  onward.on('error', () => answer.destroy());
  answer.on('close', () => answer.writableEnded || onward.destroy());
  if (body) onward.end(body);
  else pipeline(request, onward).catch(() => {});
}

async function copyFrom(request, answer) {
  const source = await fetch(request.headers['x-ms-copy-source']);
  if (source.ok) {
    passOn(request, answer, Buffer.from(await source.arrayBuffer()));
    return;
  }
  answer.writeHead(source.status, { 'content-type': 'application/xml' });
  answer.end('<?xml version="1.0" encoding="utf-8"?><Error><Code>CannotVerifyCopySource</Code></Error>');
}

const front = module.createServer(identity, (request, answer) => {
  if (request.headers['x-ms-copy-source']) copyFrom(request, answer).catch(() => answer.destroy());
  else passOn(request, answer);
});
front.requestTimeout = 0;
await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
const endpoint = `${scheme}://127.0.0.1:${front.address().port}/${account}`;
await ask('PUT', endpoint, `/${container}`, { restype: 'container' });
await ask('PUT', endpoint, '/', { comp: 'properties', restype: 'service' }, cors);
const bare = `azure://${account}/${container}?endpoint=${endpoint}`;
const bareMissing = bare.replace(container, 'no-such-container');
const withKey = (url, text) => url.replace('://', `://:${encodeURIComponent(text)}@`);
console.log(JSON.stringify({
  url: withKey(bare, key), bare, endpoint, account, container, key, sas: containerSas(container),
  wrong: withKey(bare, randomBytes(64).toString('base64')),
  missing: withKey(bareMissing, key), bareMissing,
  wrongSas: containerSas(container, randomBytes(64)), missingSas: containerSas('no-such-container'),
}));
