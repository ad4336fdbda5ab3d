// One HTTP request on a connection of its own: nothing is pooled, so nothing
// outlives a server that was killed.
import http from 'node:http';
import https from 'node:https';

const SILENCE_MAX = 60_000;

// What else is trusted from here on, of https.
let authorities;
export function trust(ca) {
  authorities = ca;
}

// RFC 6761, 6.3: every name below localhost is this machine. Not every resolver knows.
const loopback = (name, { all }, found) => (all
  ? found(null, [{ address: '127.0.0.1', family: 4 }])
  : found(null, '127.0.0.1', 4));

function ways(url) {
  const { protocol, hostname } = new URL(url);
  const way = hostname.endsWith('.localhost') ? { lookup: loopback } : {};
  return protocol === 'https:' ? [https, { ...way, ca: authorities }] : [http, way];
}

export function request(url, { method = 'GET', headers = {}, body, json, token, signal } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const all = { ...headers };
  if (json !== undefined) all['content-type'] ??= 'application/json';
  if (token) all.authorization = `Bearer ${token}`;
  if (payload !== undefined) all['content-length'] ??= Buffer.byteLength(payload);
  const [scheme, way] = ways(url);
  return new Promise((resolve, reject) => {
    const sent = scheme.request(url, { method, headers: all, agent: false, signal, ...way }, (answer) => {
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
