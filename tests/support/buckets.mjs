// Real buckets for a test: Swift's S3, and Azurite. Each is {url, env, stop()} and more:
// `url` with its credentials in it; `bare` and `env` are the same with them apart.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { within } from './wait.mjs';

async function start(program, words, more = {}) {
  const file = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(file, words, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...more } });
  const exited = new Promise((resolve) => child.on('close', resolve));
  const said = new Promise((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (data) => {
      text += data;
      if (text.includes('\n')) resolve(JSON.parse(text));
    });
    child.on('error', reject);
    exited.then((code) => reject(new Error(`${program} ended with ${code}`)));
  });
  child.stdin.on('error', () => {});
  const stop = async () => {
    child.stdin.end();
    await within(exited, `the end of ${program}`);
  };
  return { ...(await within(said, `${program} to be up`, 60_000)), pid: child.pid, stop };
}

// `page`: how many rows its lists have at most; `isVirtual`: the bucket is a host of its own.
export async function startSwift({ page = 1000, isVirtual = false } = {}) {
  const swift = await start('swift_server.py', ['--page', String(page), ...(isVirtual ? ['--virtual'] : [])]);
  return {
    ...swift,
    env: { AWS_ACCESS_KEY_ID: swift.accessKey, AWS_SECRET_ACCESS_KEY: swift.secretKey },
  };
}

// `sas` is a token for the container, to be used instead of the key: AZURE_STORAGE_SAS_TOKEN.
// With a certificate (tls.mjs) it speaks https.
export async function startAzurite({ certificate } = {}) {
  const azurite = await (certificate
    ? start('azurite_server.mjs', certificate.files, { NODE_EXTRA_CA_CERTS: certificate.ca })
    : start('azurite_server.mjs', []));
  return { ...azurite, env: { AZURE_STORAGE_KEY: azurite.key } };
}

// The same for the length of a test.
export async function swiftDuring(t, options) {
  const swift = await startSwift(options);
  t.after(swift.stop);
  return swift;
}

export async function azuriteDuring(t) {
  const azurite = await startAzurite();
  t.after(azurite.stop);
  return azurite;
}

// The URL of the same bucket behind another address: a relay's, see faulty.mjs.
export function through(url, bucket, origin) {
  return url.replace(new URL(bucket.endpoint).origin, origin);
}
