// More reports than anybody can read.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';

export const PER_SECOND = 1000;
// Over a few seconds more than the kernel keeps for a connection, and nothing
// that permessage-deflate could make small.
const message = () => randomBytes(2600).toString('base64');

// Reports over a handful of kept connections, `PER_SECOND` times a second in all.
export async function flood(server, id, ms) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let sent = 0;
  let failed = 0;
  const report = (body) =>
    new Promise((resolve) => {
      const payload = JSON.stringify(body);
      const request = http.request(
        new URL(`/api/jobs/${id}/progress`, server.origin),
        { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) } },
        (answer) => {
          if (answer.statusCode >= 300) failed++;
          answer.resume().on('end', resolve);
        },
      );
      request.on('error', () => resolve(failed++));
      request.end(payload);
    });
  const began = Date.now();
  const worker = async () => {
    for (;;) {
      const elapsed = Date.now() - began;
      if (elapsed > ms) return;
      if (sent / PER_SECOND > elapsed / 1000) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        continue;
      }
      const number = ++sent;
      await report({ stage: 'rendering', progress: Math.min(0.99, elapsed / ms), message: `${number} ${message()}` });
    }
  };
  await Promise.all([...Array(8)].map(worker));
  agent.destroy();
  assert.equal(failed, 0, `${failed} of ${sent} reports failed`);
  return sent;
}
