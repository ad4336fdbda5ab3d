// Every door, as far as coming in is concerned: how a token is shown there, and
// how somebody is told that it is not good. A new door is one line.
import { within } from './wait.mjs';
import { Watcher } from './watcher.mjs';

// Where a token is put. Each gives what is added to the target and to the headers.
const ways = {
  query: (token) => ({ query: token === undefined ? '' : `?token=${encodeURIComponent(token)}` }),
  header: (token) => ({ headers: token === undefined ? {} : { authorization: `Bearer ${token}` } }),
  // What is not a token of RFC 9110 cannot be offered, by a browser neither.
  protocol: (token) => ({ protocols: token === undefined ? ['bearer'] : ['bearer', token] }),
};

export function canBeShown(token, way) {
  if (token === undefined) return true;
  if (way === 'protocol') return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token) && token !== 'bearer';
  return way !== 'header' || /^[\t\x20-\x7e]*$/.test(token);
}

// What came of it: `how` in one word or two, `text` all that was said.
function http(method, target, { body, always = false } = {}) {
  return {
    name: `${method} ${target('ID')}`,
    kind: 'http',
    method,
    target,
    always,
    ways: ['query', 'header'],
    refusal: '401 token_required',
    async come(server, { id, token, way = 'header', headers: more } = {}) {
      const { query = '', headers = {} } = ways[way](token);
      const json = body?.(id);
      const answer = await server.request(target(id) + query, { method, json, headers: { ...headers, ...more } });
      const code = answer.status < 400 ? '' : ` ${answer.json.error.code}`;
      return { how: `${answer.status}${code}`, text: answer.text, headers: answer.headers };
    },
  };
}

function websocket(target, { always = false } = {}) {
  return {
    name: `WebSocket ${target('ID')}`,
    kind: 'websocket',
    target,
    always,
    ways: ['query', 'header', 'protocol'],
    refusal: '4001',
    async come(server, { id, token, way = 'query', headers: more, keep = false } = {}) {
      const { query = '', headers = {}, protocols = [] } = ways[way](token);
      const url = `ws://${server.host}${target(id)}${query}`;
      const watcher = new Watcher(url, { headers: { ...headers, ...more }, protocols });
      const status = await within(
        watcher.opened.then(() => 0, (error) => Number(/: (\d+)$/.exec(error.message)?.[1] ?? -1)),
        `a handshake at ${url}`,
      );
      if (status !== 0) return { how: `${status}`, text: '' };
      await watcher.settle();
      const outcome = {
        how: watcher.close ? `${watcher.close.code}` : 'open',
        text: watcher.texts.join('\n'),
        selected: watcher.socket.protocol,
        watcher,
      };
      if (!keep) watcher.drop();
      return outcome;
    },
  };
}

const report = () => ({ stage: 'rendering', progress: 0.5, message: 'half' });

export const doors = [
  websocket((id) => `/socket/stream/progress/${id}/`, { always: true }),
  websocket((id) => `/ws/download/${id}`),
  websocket((id) => `/ws/jobs/${id}`),
  websocket(() => '/ws/progress'),
  http('POST', () => '/streaming/create-video/', { always: true, body: () => ({ title: 'a' }) }),
  http('POST', () => '/streaming/get-chunk-upload-url/', {
    always: true,
    body: (id) => ({ videoId: id, chunkIndex: 0, totalChunks: 4 }),
  }),
  http('POST', () => '/streaming/assemble-chunks/', { always: true, body: (id) => ({ videoId: id }) }),
  http('GET', (id) => `/streaming/uploads/${id}`, { always: true }),
  http('GET', (id) => `/api/status/${id}`),
  http('GET', () => '/api/jobs'),
  http('GET', (id) => `/api/jobs/${id}`),
  http('POST', (id) => `/api/jobs/${id}/progress`, { body: report }),
  http('DELETE', (id) => `/api/jobs/${id}`),
  http('POST', () => '/jobs/create', { body: () => ({}) }),
];
