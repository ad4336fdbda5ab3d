// Every door, as far as coming in is concerned: how a token is shown there, and
// how somebody is told that it is not good. A new door is one line.
import { Listener } from './listener.mjs';
import { waitFor, within } from './wait.mjs';
import { Watcher } from './watcher.mjs';

// Where a token is put. Each gives what is added to the target and to the headers.
const ways = {
  query: (token) => ({ query: token === undefined ? '' : `?token=${encodeURIComponent(token)}` }),
  header: (token) => ({ headers: token === undefined ? {} : { authorization: `Bearer ${token}` } }),
  // What is not a token of RFC 9110 cannot be offered, by a browser neither.
  protocol: (token) => ({ protocols: token === undefined ? ['bearer'] : ['bearer', token] }),
  // Socket.IO's `auth`, in the packet that connects to the namespace.
  auth: (token) => ({ auth: token === undefined ? undefined : { token } }),
};

// A target with a query added to the one it may have.
export const withQuery = (target, query) => target + (target.includes('?') ? query.replace('?', '&') : query);

export function canBeShown(token, way) {
  if (token === undefined) return true;
  if (way === 'protocol') return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token) && token !== 'bearer';
  return way !== 'header' || /^[\t\x20-\x7e]*$/.test(token);
}

// What came of it: `how` in one word or two, `text` all that was said.
function http(method, target, { body, form, always = false, refusal = '401 token_required' } = {}) {
  return {
    name: `${method} ${target('ID')}`,
    kind: 'http',
    method,
    target,
    always,
    ways: ['query', 'header'],
    refusal,
    async come(server, { id, token, way = 'header', headers: more } = {}) {
      const { query = '', headers = {} } = ways[way](token);
      const options = { method, json: body?.(id), body: form?.body, headers: { ...form?.headers, ...headers, ...more } };
      const answer = await server.request(withQuery(target(id), query), options);
      // oRPC has words of its own.
      const code = answer.status < 400 ? '' : ` ${(answer.json.error ?? answer.json.json).code}`;
      return { how: `${answer.status}${code}`, text: answer.text, headers: answer.headers };
    },
  };
}

// What is said at once, or the refusal.
function events(target) {
  return {
    ...http('GET', target),
    async come(server, { id, token, way = 'header' } = {}) {
      const { query = '', headers = {} } = ways[way](token);
      const listener = await Listener.open(server.origin + withQuery(target(id), query), { headers });
      const { status } = listener;
      if (status === 200) {
        await waitFor(() => listener.text.includes('\n\n'), 'the first line');
        await server.get('/health');
      } else {
        await listener.over();
      }
      listener.drop();
      const code = status < 400 ? '' : ` ${JSON.parse(listener.text).error.code}`;
      return { how: `${status}${code}`, text: listener.text, headers: listener.headers };
    },
  };
}

function websocket(target, { always = false, say } = {}) {
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
      if (say) {
        watcher.send(say(id));
        // A pong may overtake what is said of it.
        await waitFor(() => watcher.texts.length > 0 || watcher.close, 'an answer');
      }
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

// Engine.IO's requests one by one, so that nothing is done but what is written here.
const NAMESPACE = '/file-processing';
const ENGINE = (transport) => `/socket.io/?EIO=4&transport=${transport}`;
const enter = (auth) => `40${NAMESPACE},${auth ? JSON.stringify(auth) : ''}`;
const ask = (id) => `42${NAMESPACE},0${JSON.stringify(['subscribe:file', { fileId: String(id) }])}`;
const isIn = (text) => text.includes(`40${NAMESPACE},{`);
const isAnswered = (text) => text.includes(`43${NAMESPACE},0`);
const isRefused = (text) => text.includes(`44${NAMESPACE},`);

const gateway = (transport, come) => ({
  name: `Socket.IO by ${transport}`,
  kind: 'socketio',
  transport,
  target: () => ENGINE(transport),
  always: false,
  ways: ['query', 'header', 'auth'],
  refusal: 'unauthorized',
  // Without the names that are made for each who comes.
  async come(server, { id, token, way = 'auth', ...rest } = {}) {
    const { how, text, ...more } = await come(server, { id, ...ways[way](token), ...rest });
    return { how, text: text.replaceAll(/"([sp]id)":"[\w-]+"/g, '"$1":"NEW"'), ...more };
  },
});

async function poll(server, { id, auth, query = '', headers }) {
  const target = withQuery(ENGINE('polling'), query);
  const open = await server.request(target, { headers });
  if (open.status !== 200) return { how: `${open.status}`, text: open.text, headers: open.headers };
  const own = `${ENGINE('polling')}&sid=${JSON.parse(open.text.slice(1)).sid}`;
  let text = '';
  // The token counts where a client comes in, and is not shown again.
  const exchange = async (packet, isOver) => {
    const sent = await server.request(own, { method: 'POST', body: packet, headers: { 'content-type': 'text/plain' } });
    if (sent.status !== 200) throw new Error(`${sent.status} ${sent.text}`);
    while (!isOver(text)) text += `\x1e${(await server.get(own)).text}`;
  };
  await exchange(enter(auth), (all) => isIn(all) || isRefused(all));
  if (isRefused(text)) return { how: 'unauthorized', text };
  await exchange(ask(id), isAnswered);
  // Answers go first: the state comes to a GET that finds none, and to who may
  // not see it comes the answer to what is said then.
  const waiting = server.get(own);
  await server.get('/health');
  const sent = await server.request(own, { method: 'POST', body: `42${NAMESPACE},1["is anybody there"]` });
  if (sent.status !== 200) throw new Error(`${sent.status} ${sent.text}`);
  text += `\x1e${(await waiting).text}`;
  while (!text.includes(`43${NAMESPACE},1[`)) text += `\x1e${(await server.get(own)).text}`;
  await server.request(own, { method: 'POST', body: '1', headers: { 'content-type': 'text/plain' } });
  return { how: 'open', text };
}

async function socket(server, { id, auth, query = '', headers, keep = false }) {
  const watcher = new Watcher(`ws://${server.host}${withQuery(ENGINE('websocket'), query)}`, { headers });
  const status = await within(
    watcher.opened.then(() => 0, (error) => Number(/: (\d+)$/.exec(error.message)?.[1] ?? -1)), 'a handshake');
  if (status !== 0) return { how: `${status}`, text: '' };
  const said = () => watcher.texts.slice(1).join('\x1e'); // behind what opens it
  watcher.send(enter(auth));
  await waitFor(() => isIn(said()) || isRefused(said()) || watcher.close, 'the namespace');
  if (!isRefused(said())) watcher.send(ask(id));
  await waitFor(() => isAnswered(said()) || isRefused(said()) || watcher.close, 'an answer');
  await watcher.settle();
  if (!keep) watcher.drop();
  return { how: isRefused(said()) ? 'unauthorized' : 'open', text: said(), watcher };
}

// Not a video: who comes so far was let in.
const form = {
  headers: { 'content-type': 'multipart/form-data; boundary=B' },
  body: '--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n\r\n--B--\r\n',
};

const report = () => ({ stage: 'rendering', progress: 0.5, message: 'half' });

export const doors = [
  websocket((id) => `/socket/stream/progress/${id}/`, { always: true }),
  websocket((id) => `/ws/download/${id}`),
  websocket((id) => `/ws/jobs/${id}`),
  websocket(() => '/ws/progress'),
  websocket(() => '/file-processing', { say: (id) => ({ event: 'subscribe:file', data: { fileId: String(id) } }) }),
  gateway('polling', poll),
  gateway('websocket', socket),
  http('POST', () => '/streaming/create-video/', { always: true, body: () => ({ title: 'a' }) }),
  http('POST', () => '/streaming/get-chunk-upload-url/', {
    always: true,
    body: (id) => ({ videoId: id, chunkIndex: 0, totalChunks: 4 }),
  }),
  http('POST', () => '/streaming/assemble-chunks/', { always: true, body: (id) => ({ videoId: id }) }),
  http('GET', (id) => `/streaming/uploads/${id}`, { always: true }),
  http('GET', (id) => `/api/status/${id}`),
  http('GET', (id) => `/api/status/${id}?wait=1`),
  http('GET', () => '/api/jobs'),
  http('GET', (id) => `/api/jobs/${id}`),
  events((id) => `/api/jobs/${id}/events`),
  http('POST', (id) => `/api/jobs/${id}/progress`, { body: report }),
  http('DELETE', (id) => `/api/jobs/${id}`),
  http('POST', () => '/jobs/create', { body: () => ({}) }),
  http('POST', () => '/rpc/uploadVideo', { form, refusal: '401 UNAUTHORIZED' }),
  http('GET', () => '/metrics'), // an admin's alone
];
