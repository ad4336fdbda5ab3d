// One HTTP request on a connection of its own: nothing is pooled, so nothing
// outlives a server that was killed.
import http from 'node:http';

const SILENCE_MAX = 60_000;

export function request(url, { method = 'GET', headers = {}, body, json, token, signal } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const all = { ...headers };
  if (json !== undefined) all['content-type'] ??= 'application/json';
  if (token) all.authorization = `Bearer ${token}`;
  if (payload !== undefined) all['content-length'] ??= Buffer.byteLength(payload);
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers: all, agent: false, signal }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => resolve(new Answer(answer, Buffer.concat(pieces))));
    });
    sent.on('error', reject);
    sent.setTimeout(SILENCE_MAX, () => sent.destroy(new Error(`${method} ${url}: no answer`)));
    sent.end(payload);
  });
}

class Answer {
  constructor(message, body) {
    this.status = message.statusCode;
    this.headers = message.headers;
    this.body = body;
  }

  get text() {
    return this.body.toString('utf8');
  }

  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      throw new Error(`status ${this.status}, not JSON: ${this.text.slice(0, 300)}`);
    }
  }
}
