// Who may see what, and how those are told who may not.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { clipBytes } from '../support/clips.mjs';
import { mint, mintNone, mintRs256, now, secret, withSecret } from '../support/jwt.mjs';
import { Server } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { within } from '../support/wait.mjs';

describe('tokens', () => {
  let server;
  let upload; // alice's

  before(async () => {
    server = await Server.start({ env: withSecret });
    upload = await Upload.create(server, { bytes: await clipBytes(), token: mint({ sub: 'alice' }) });
  });
  after(() => server.end());

  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tampered = () => {
    const [head, , signature] = mint({}).split('.');
    const claims = Buffer.from(JSON.stringify({ sub: 'root', scope: 'admin', exp: now() + 60 }));
    return `${head}.${claims.toString('base64url')}.${signature}`;
  };

  const refused = [
    ['is missing', () => undefined],
    ['is empty', () => ''],
    ['is not a token', () => 'jwt-token'],
    ['has only two parts', () => mint({}).split('.').slice(0, 2).join('.')],
    ['is cut short', () => mint({}).slice(0, -4)],
    ['has expired', () => mint({ exp: now() - 600 })],
    ['is not yet valid', () => mint({ nbf: now() + 600 })],
    ['was signed by another key', () => mint({}, { key: `another ${secret}` })],
    ['was changed after it was signed', tampered],
    ['says that it needs no signature', () => mintNone({})],
    ['was signed with a stronger algorithm that is not allowed', () => mint({}, { header: { alg: 'HS512' } })],
    ['was signed with a private key where a secret is expected', () => mintRs256({}, privateKey)],
    ['belongs to somebody else', () => mint({ sub: 'mallory' })],
  ];
  for (const [what, make] of refused) {
    test(`the stream door completes the handshake and closes with 4001 when the token ${what}`, async () => {
      // watch() gives a watcher only when the handshake was completed.
      const watcher = await server.watchStream(upload.id, make());
      const { code } = await within(watcher.closed, 'the Close');
      assert.equal(code, 4001);
      assert.deepEqual(watcher.messages, [], 'nothing may be said before');
    });

    test(`the upload API refuses when the token ${what}`, async () => {
      const token = make();
      const ask = { videoId: upload.id, chunkIndex: 0, totalChunks: 4 };
      const answer = await server.post('/streaming/get-chunk-upload-url/', ask, token);
      const isForeign = what === 'belongs to somebody else';
      const expected = isForeign ? [403, 404] : [401];
      assert.ok(expected.includes(answer.status), `${answer.status} ${answer.text}`);
      if (!isForeign) assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer/);
      assert.equal(typeof answer.json.error.code, 'string');
    });
  }

  test('the stream door lets in the owner and an admin', async () => {
    for (const claims of [{ sub: 'alice' }, { sub: 'root', scope: 'admin' }]) {
      const watcher = await server.watchStream(upload.id, mint(claims));
      await watcher.settle();
      assert.equal(watcher.messages[0].type, 'connection');
      await watcher.leave();
    }
  });

  test('with a key configured, every door asks for a token', async () => {
    for (const target of ['/api/jobs', `/api/jobs/${upload.id}`, `/api/status/${upload.id}`]) {
      assert.equal((await server.get(target)).status, 401, target);
    }
    const report = await server.post('/api/jobs/x/progress', { stage: 'a', progress: 0.1, message: '' });
    assert.equal(report.status, 401);
    for (const target of [`/ws/jobs/${upload.id}`, `/ws/download/${upload.id}`, '/ws/progress']) {
      const outcome = await server.watch(target).then(
        async (watcher) => (await within(watcher.closed, 'the Close')).code,
        () => 'refused',
      );
      assert.ok(outcome === 4001 || outcome === 'refused', `${target}: ${outcome}`);
    }
  });

  test('a client sees its own jobs only', async () => {
    const alice = mint({ sub: 'alice' });
    const bob = mint({ sub: 'bob' });
    const admin = mint({ sub: 'root', scope: 'admin' });
    const created = await server.post('/jobs/create', {}, alice);
    const id = created.json.job_id;
    const [hers, his, all] = await Promise.all(
      [alice, bob, admin].map((token) => server.watch(`/ws/progress?token=${token}`)),
    );
    await server.tell(id, { stage: 'a', progress: 0.5, message: 'x' }, alice);
    const isIt = (message) => message.video_id === id;
    await hers.until(isIt);
    await all.until(isIt);
    await his.settle();
    assert.deepEqual(his.messages.filter(isIt), []);
    assert.ok([403, 404].includes((await server.get(`/api/jobs/${id}`, bob)).status));
    assert.ok([403, 404].includes((await server.get(`/api/status/${id}`, bob)).status));
    const listed = (token) => server.get('/api/jobs?limit=100', token).then((answer) => answer.text.includes(id));
    assert.deepEqual(await Promise.all([alice, bob, admin].map(listed)), [true, false, true]);
    const foreign = await server.post(`/api/jobs/${id}/progress`, { stage: 'a', progress: 1, message: '' }, bob);
    assert.equal(foreign.status, 409);
    assert.equal(foreign.json.error.code, 'id_taken');
    const cancel = await server.request(`/api/jobs/${id}`, { method: 'DELETE', token: bob });
    assert.ok([403, 404].includes(cancel.status), `${cancel.status}`);
    assert.equal((await server.job(id, alice)).state, 'processing');
    for (const watcher of [hers, his, all]) watcher.drop();
  });

  test('a token never stands in the log', async () => {
    const token = mint({ sub: 'alice', note: 'seen' });
    const watcher = await server.watchStream(upload.id, token);
    await watcher.leave();
    assert.ok(!server.log.includes(token.split('.')[2]));
  });
});

test('without a key, the other doors are open on the loopback', async (t) => {
  const server = await Server.during(t);
  assert.equal((await server.get('/api/jobs')).status, 200);
  const watcher = await server.watchAll();
  await watcher.leave();
});

test('the page gets a token from the server itself, on the loopback', async (t) => {
  const server = await Server.during(t);
  const { status, json } = await server.post('/api/session', {});
  assert.equal(status, 200);
  assert.ok(json.expires_in > 0);
  const watcher = await server.watchStream(1, json.token);
  await watcher.settle();
  assert.equal(watcher.messages[0].type, 'connection');
  await watcher.leave();
});

test('nobody from elsewhere gets that token', async (t) => {
  const server = await Server.during(t);
  const elsewhere = [
    { host: 'evil.example.com' },
    { host: '127.0.0.1.evil.example.com' },
    { host: 'localhost.evil.example.com' },
    { origin: 'http://evil.example.com' },
    { origin: 'null' },
    { 'x-forwarded-for': '192.0.2.1' },
    { forwarded: 'for=192.0.2.1' },
  ];
  for (const headers of elsewhere) {
    const answer = await server.request('/api/session', { method: 'POST', headers });
    assert.equal(answer.status, headers.host ? 421 : headers.origin ? 403 : 401, JSON.stringify(headers));
  }
  const keyed = await Server.during(t, { args: ['--jwt-secret', 'a secret of thirty-two bytes or more'] });
  assert.equal((await keyed.post('/api/session', {})).status, 401);
});
