// Every kind of bad token, at every door, shown in every way: nobody comes in,
// each door says so in its own way, and nothing is learned from it.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { canBeShown, doors, withQuery } from '../support/doors.mjs';
import { mint, mintNone, mintRaw, mintRs256, now, respell, secret } from '../support/jwt.mjs';
import { Server, temporaryFolder } from '../support/server.mjs';
import { Upload } from '../support/upload.mjs';
import { waitFor, within } from '../support/wait.mjs';

const AUDIENCE = 'reelay';
const ISSUER = 'https://id.example.com';
const claims = (more) => ({ aud: AUDIENCE, iss: ISSUER, ...more });
const good = (more, how) => mint(claims(more), how);
const raw = (text) => mintRaw('{"alg":"HS256"}', text);
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = publicKey.export({ type: 'spki', format: 'pem' });
const without = (name) => {
  const { [name]: gone, ...rest } = { sub: 'alice', exp: now() + 60, ...claims() };
  return raw(JSON.stringify(rest));
};
const tampered = () => {
  const [head, , signature] = good().split('.');
  const other = JSON.stringify({ sub: 'root', scope: 'admin', exp: now() + 60, ...claims() });
  return `${head}.${Buffer.from(other).toString('base64url')}.${signature}`;
};

const bad = {
  'missing': () => undefined,
  'empty': () => '',
  'garbage': () => 'jwt-token',
  'what a client sends that has none': () => 'null',
  'three dots': () => '...',
  'two dots': () => '..',
  'two parts': () => good().split('.').slice(0, 2).join('.'),
  'two parts and a dot': () => `${good().split('.').slice(0, 2).join('.')}.`,
  'four parts': () => `${good()}.${good().split('.')[2]}`,
  'two tokens': () => `${good()},${good()}`,
  'cut short': () => good().slice(0, -1),
  'one letter more': () => `${good()}A`,
  'four letters more': () => `${good()}AAAA`,
  'a dot more': () => `${good()}.`,
  'a word behind it': () => `${good()} x`,
  'a NUL behind it': () => `${good()}\0`,
  'padded': () => `${good()}=`,
  'another spelling of its signature': () => respell(good()),
  'another spelling of its claims': () => {
    // As long as needed for bits to spare in the last digit.
    for (let note = ''; ; note += 'a') {
      const [head, body, signature] = good({ note }).split('.');
      if (body.length % 4 !== 0) return `${head}.${respell(body)}.${signature}`;
    }
  },
  'changed after it was signed': tampered,
  'unsigned': () => mintNone(claims()),
  'unsigned, but with a signature': () => mintRaw('{"alg":"none"}', JSON.stringify({ sub: 'alice', ...claims() })),
  'unsigned, in capitals': () => mintRaw('{"alg":"NONE"}', JSON.stringify({ sub: 'alice', ...claims() })),
  'without an algorithm': () => mintRaw('{"typ":"JWT"}', JSON.stringify({ sub: 'alice', ...claims() })),
  'signed by another key': () => good({}, { key: `another ${secret}` }),
  'signed by an empty key': () => good({}, { key: '' }),
  'signed by an algorithm that is not allowed': () => good({}, { header: { alg: 'HS512' } }),
  'signed by a private key': () => mintRs256(claims(), privateKey),
  'with something critical in its header': () => good({}, { header: { crit: ['exp'] } }),
  'with its own key in its header, signed by another': () =>
    good({}, { key: 'x'.repeat(32), header: { jwk: { kty: 'oct', k: Buffer.from('x'.repeat(32)).toString('base64url') } } }),
  'with two algorithms': () => mintRaw('{"alg":"none","alg":"HS256"}', JSON.stringify({ sub: 'alice', ...claims() })),
  'expired': () => good({ exp: now() - 600 }),
  'expired in 1970': () => good({ exp: 0 }),
  'expiring before 1970': () => good({ exp: -1 }),
  'expiring at a text': () => good({ exp: `${now() + 600}` }),
  'expiring at nothing': () => good({ exp: null }),
  'expiring at the end of all time': () => raw(`{"sub":"alice","exp":1e300,"aud":"${AUDIENCE}","iss":"${ISSUER}"}`),
  'expired a fraction ago': () => good({ exp: now() - 20.5 }),
  'not valid yet': () => good({ nbf: now() + 600 }),
  'valid from a text on': () => good({ nbf: 'now' }),
  'for another audience': () => good({ aud: 'shop' }),
  'for other audiences': () => good({ aud: ['shop', 'reelay2'] }),
  'for no audience': () => without('aud'),
  'for an audience that is a number': () => good({ aud: 1 }),
  'by another issuer': () => good({ iss: `${ISSUER}/` }),
  'by no issuer': () => without('iss'),
  'of a subject that is a list': () => good({ sub: ['alice'] }),
  'of a subject that is an object': () => good({ sub: { id: 1 } }),
  'of a subject that is a fraction': () => good({ sub: 1.5 }),
  'of a subject that is nothing': () => good({ sub: null }),
  'of a subject with a NUL': () => good({ sub: 'alice\0x' }),
  'of a subject too long': () => good({ sub: 'a'.repeat(300) }),
  'of two subjects': () => raw(`{"sub":"alice","sub":"bob","aud":"${AUDIENCE}","iss":"${ISSUER}"}`),
  'with a scope that is a number': () => good({ scope: 1 }),
  'no object': () => raw('["alice"]'),
  'no JSON': () => raw('sub=alice'),
  'JSON and something behind it': () => raw(`${JSON.stringify({ sub: 'alice', ...claims() })} x`),
  'deeper than anybody needs': () => good({ x: JSON.parse('['.repeat(40) + ']'.repeat(40)) }),
  'huge': () => good({ note: 'x'.repeat(7000) }),
};
const TARGET_MAX = 8 * 1024; // what is longer is refused before anybody looks for a token

describe('bad tokens', () => {
  const servers = {};
  const ids = {};
  const shown = [];
  const folder = temporaryFolder();

  before(async () => {
    const keyFile = path.join(folder, 'key.pem');
    writeFileSync(keyFile, pem);
    const args = ['--jwt-audience', AUDIENCE, '--jwt-issuer', ISSUER, '--log-level', 'debug'];
    servers.secret = await Server.start({ args, env: { REELAY_JWT_SECRET: secret } });
    servers.key = await Server.start({ args: [...args, '--jwt-alg', 'RS256', '--jwt-key-file', keyFile] });
    const bytes = Buffer.alloc(1000);
    ids.secret = (await Upload.create(servers.secret, { bytes, token: good() })).id;
    ids.key = (await Upload.create(servers.key, { bytes, token: mintRs256(claims(), privateKey) })).id;
  });
  after(async () => {
    await Promise.all(Object.values(servers).map((server) => server.end()));
    rmSync(folder, { recursive: true, force: true });
  });

  // Refused in the door's own words, and in the same words for what is not there.
  async function expectRefusal(door, server, id, token, way) {
    const what = `${door.name}, by ${way}`;
    const there = await door.come(server, { id, token, way });
    const target = door.target(id).length + (way === 'query' ? encodeURIComponent(token ?? '').length : 0);
    if (target + '?token='.length > TARGET_MAX) {
      assert.ok(there.how.startsWith('414'), `${what}: ${there.how}`);
      return;
    }
    assert.equal(there.how, door.refusal, what);
    const unknown = await door.come(server, { id: 404404, token, way });
    assert.deepEqual({ how: unknown.how, text: unknown.text }, { how: there.how, text: there.text }, what);
    if (door.kind === 'websocket') assert.equal(there.text, '', `${what}: nothing may be said before`);
    if (door.kind === 'socketio') assert.match(there.text, /^\W?44\/file-processing,/, `${what}: nothing may be said before`);
    if (door.kind === 'http') assert.match(there.headers['www-authenticate'], /^Bearer/, what);
    if (token) assert.ok(!there.text.includes(token), `${what}: it is repeated`);
  }

  const everywhere = doors.flatMap((door) => door.ways.map((way) => [door, way]));

  for (const [what, make] of Object.entries(bad)) {
    test(`nobody comes in with a token that is: ${what}`, async () => {
      const token = make();
      if (token) shown.push(token);
      for (const [door, way] of everywhere) {
        if (canBeShown(token, way)) await expectRefusal(door, servers.secret, ids.secret, token, way);
      }
    });
  }

  test('nobody comes in with a secret made of a public key', async () => {
    for (const key of [pem, pem.trim(), pem.replace(/-----.*-----|\n/g, '')]) {
      for (const header of [{}, { alg: 'RS256' }]) {
        const token = good({}, { key, header });
        shown.push(token);
        for (const door of doors) await expectRefusal(door, servers.key, ids.key, token, 'header');
      }
    }
  });

  test('a bad token is not made up for by a good one', async () => {
    for (const door of doors) {
      const token = good();
      shown.push(token);
      const target = (id) => withQuery(door.target(id), `?token=${token}`);
      const headers = { authorization: 'Bearer jwt-token' };
      if (door.kind === 'socketio') {
        // In the header beside a good one in the query; in `auth` beside one in the header.
        const beside = await door.come(servers.secret, { id: ids.secret, token, way: 'query', headers });
        assert.equal(beside.how, 'unauthorized', door.name);
        const other = await door.come(servers.secret, {
          id: ids.secret, token: 'jwt-token', way: 'auth', headers: { authorization: `Bearer ${token}` } });
        assert.equal(other.how, 'unauthorized', door.name);
      } else if (door.kind === 'http') {
        const answer = await servers.secret.request(target(ids.secret), { method: door.method, json: {}, headers });
        assert.equal(answer.status, 401, door.name);
      } else {
        const watcher = await servers.secret.watch(target(ids.secret), { headers });
        assert.equal((await within(watcher.closed, 'the Close')).code, 4001, door.name);
        const other = await servers.secret.watch(target(ids.secret), { protocols: ['bearer', 'jwt-token'] });
        assert.equal((await within(other.closed, 'the Close')).code, 4001, door.name);
      }
    }
  });

  const fine = {
    'usual': () => good(),
    'for several audiences': () => good({ aud: ['shop', AUDIENCE] }),
    'ending at a fraction of a second': () => good({ exp: now() + 600.25 }),
    'without an end': () => without('exp'),
    'expired within the leeway': () => good({ exp: now() - 1 }),
    'an admin\'s': () => good({ sub: 'root', scope: 'read admin' }),
  };
  for (const [what, make] of Object.entries(fine)) {
    test(`every door lets in whoever has a token that is ${what}`, async () => {
      const token = make();
      shown.push(token);
      for (const [door, way] of everywhere.filter(([door]) => door.method !== 'DELETE')) {
        const { how, selected } = await door.come(servers.secret, { id: ids.secret, token, way });
        if (door.kind !== 'http') assert.equal(how, 'open', `${door.name}, by ${way}`);
        if (door.kind === 'websocket') {
          assert.equal(selected, way === 'protocol' ? 'bearer' : '', door.name);
        } else if (door.kind === 'http') {
          // 409: it is an upload without chunks, and takes no reports.
          assert.match(how, /^(20\d|409 (chunks_missing|not_external)|400 upload_incomplete|422 UNPROC|403 admin_only)/, `${door.name}, by ${way}`);
        }
      }
    });
  }

  test('a token may be the only protocol that is offered', async () => {
    for (const token of [good(), `bearer.${good()}`, `bearer.${good({ note: 'x'.repeat(4000) })}`]) {
      shown.push(token);
      const watcher = await servers.secret.watch(`/ws/jobs/${ids.secret}`, { protocols: [token] });
      await watcher.settle();
      assert.equal(watcher.close, null);
      assert.equal(watcher.socket.protocol, token);
      await watcher.leave();
    }
  });

  test('no token ever stands in the log', () => {
    const log = servers.secret.log + servers.key.log;
    assert.ok(shown.length > 50);
    for (const token of shown) {
      for (const part of token.split('.').filter((text) => text.length >= 16)) {
        assert.ok(!log.includes(part), `${part} of ${token}`);
      }
    }
  });
});

test('whose a token is may be said by another claim, in a text or a number', async (t) => {
  const server = await Server.during(t, {
    args: ['--jwt-subject-claim', 'user_id'],
    env: { REELAY_JWT_SECRET: secret },
  });
  const own = await server.post('/jobs/create', {}, mint({ user_id: 42, sub: 'alice' }));
  const id = own.json.job_id;
  assert.equal((await server.get(`/api/jobs/${id}`, mint({ user_id: '42' }))).status, 200);
  for (const claim of [{ user_id: 43, sub: '42' }, { sub: '42' }, { user_id: 'alice' }]) {
    assert.equal((await server.get(`/api/jobs/${id}`, mint(claim))).status, 404, JSON.stringify(claim));
  }
  for (const wrong of [4.5, true, ['42'], null]) {
    assert.equal((await server.get(`/api/jobs/${id}`, mint({ user_id: wrong }))).status, 401, `${wrong}`);
  }
  const minted = await server.token({ subject: '42', args: ['--jwt-subject-claim', 'user_id'] });
  assert.equal((await server.get(`/api/jobs/${id}`, minted)).status, 200);
});

test('a key that is made in the folder is what the file has, and nothing besides', async (t) => {
  const server = await Server.during(t, { env: { MALLOC_PERTURB_: '165' } });
  const key = readFileSync(path.join(server.dataDir, 'secret'), 'utf8');
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal((await server.get('/streaming/uploads/1', mint({}, { key }))).status, 404);
  assert.equal((await server.get('/streaming/uploads/1', await server.token())).status, 404);
});

describe('somebody else\'s job is like one that is not there', () => {
  let server;
  let job;
  let video;
  const alice = mint({ sub: 'alice' });
  const bob = mint({ sub: 'bob' });

  before(async () => {
    server = await Server.start({ env: { REELAY_JWT_SECRET: secret } });
    job = (await server.post('/jobs/create', { title: 'secret' }, alice)).json.job_id;
    await server.tell(job, { stage: 'hidden', progress: 0.5, message: 'hidden' }, alice);
    video = (await Upload.create(server, { bytes: Buffer.alloc(1000), token: alice })).id;
  });
  after(() => server.end());

  // These two tell: the contract's 4001 of the stream door, and an id that is
  // taken cannot be created.
  const tell = ['WebSocket /socket/stream/progress/ID/', 'POST /api/jobs/ID/progress'];
  for (const door of doors.filter(({ name }) => !tell.includes(name))) {
    test(door.name, async () => {
      for (const [theirs, nobodys] of [[job, 'b7a3b4ee-0000-4000-8000-000000000000'], [video, 7007007007007]]) {
        const mask = (outcome, id) => ({
          how: outcome.how,
          // Times, and what is made for each who asks.
          text: outcome.text
            .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
            .replaceAll(String(id), 'ID')
            .replaceAll(/("(?:id|job_id)":)("[0-9a-f-]{36}"|\d{10,})|\/ws\/jobs\/[0-9a-f-]{36}/g, 'NEW'),
          headers: door.kind === 'http' && { ...outcome.headers, date: '', 'content-length': '' },
        });
        const a = mask(await door.come(server, { id: theirs, token: bob }), theirs);
        const b = mask(await door.come(server, { id: nobodys, token: bob }), nobodys);
        // A list is the same anyway, but must not hold it.
        if (door.name === 'GET /api/jobs') assert.doesNotMatch(a.text, /hidden|secret/);
        else assert.deepEqual(a, b);
        assert.doesNotMatch(a.text, /hidden|secret|alice/);
      }
    });
  }

  test('its owner is shown it where they are not', async () => {
    const shows = doors.filter(({ kind, method, name }) => kind !== 'http' || (method === 'GET' && / \/api\//.test(name)));
    for (const door of shows) {
      await waitFor(async () => {
        const { text } = await door.come(server, { id: job, token: alice });
        return /hidden|secret|"progress":\s?(50|0\.5)|"percent":50/.test(text);
      }, door.name, { timeout: 10_000 });
    }
  });

  test('a poll for it is not answered when it moves', async () => {
    let isOver = false;
    const poll = server.get(`/api/jobs/${job}?wait=10`, bob).then((answer) => ((isOver = true), answer));
    const began = Date.now();
    for (let i = 0; !isOver && Date.now() - began < 1500; i++) {
      await server.tell(job, { stage: 'hidden', progress: 0.5, message: `hidden ${i}` }, alice);
      assert.ok(!isOver, 'it tells that somebody works on it');
    }
    assert.equal((await poll).status, 404);
  });

  test('the stream door says 4001', async () => {
    const watcher = await server.watchStream(video, bob);
    assert.equal((await within(watcher.closed, 'the Close')).code, 4001);
    assert.deepEqual(watcher.messages, []);
  });

  test('a report is refused without a detail, and changes nothing', async () => {
    for (const id of [job, video]) {
      const answer = await server.post(`/api/jobs/${id}/progress`, { stage: 'x', progress: 1, message: '' }, bob);
      assert.equal(answer.status, 409);
      assert.deepEqual(answer.json, { error: { code: 'id_taken', message: 'this id cannot be used' } });
    }
    assert.equal((await server.job(job, alice)).progress, 0.5);
    assert.equal((await server.job(video, alice)).state, 'queued');
  });

  test('of two who create the same id at once, one owns it', async () => {
    for (let round = 0; round < 40; round++) {
      const id = `raced-${round}`;
      const ask = (token, stage) => server.post(`/api/jobs/${id}/progress`, { stage, progress: 0.1, message: '' }, token);
      const answers = await Promise.all([ask(alice, 'alice'), ask(bob, 'bob')]);
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409], id);
      const winner = answers[0].status === 200 ? [alice, 'alice', bob] : [bob, 'bob', alice];
      assert.equal((await server.job(id, winner[0])).stage, winner[1]);
      assert.equal(await server.job(id, winner[2]), null);
    }
  });

  test('who hears all hears only their own', async () => {
    const [hers, his] = await Promise.all([alice, bob].map((token) => server.watch(`/ws/progress?token=${token}`)));
    await server.tell(job, { stage: 'hidden', progress: 0.75, message: 'hidden' }, alice);
    await hers.until((message) => message.video_id === job && message.percent === 75);
    await his.settle();
    assert.ok(!his.texts.join().includes(job));
    for (const watcher of [hers, his]) watcher.drop();
  });
});

describe('when a token expires', () => {
  const sockets = doors.filter(({ kind, transport }) => kind === 'websocket' || transport === 'websocket');
  const LIFE = 5;

  async function comeIn(t, args) {
    const server = await Server.during(t, {
      args,
      env: { REELAY_JWT_SECRET: secret },
    });
    const end = now() + LIFE;
    const come = (exp) => Promise.all(sockets.map((door) =>
      door.come(server, { id: 'some-job', token: mint({ exp }), keep: true })));
    const [ending, lasting] = [await come(end), await come(now() + 3600)];
    for (const { how } of [...ending, ...lasting]) assert.equal(how, 'open');
    return { server, end, ending, lasting };
  }

  test('its connections are closed with 4001 if that is wanted', async (t) => {
    const { end, ending, lasting } = await comeIn(t, ['--token-expiry', 'close']);
    for (const { watcher } of ending) {
      assert.deepEqual(await within(watcher.closed, watcher.url), { code: 4001, reason: 'token expired' });
      assert.ok(Date.now() >= end * 1000, 'not before');
    }
    assert.ok(Date.now() < end * 1000 + 10_000, 'soon after');
    for (const { watcher } of lasting) {
      await watcher.settle();
      assert.equal(watcher.close, null);
      watcher.drop();
    }
  });

  test('its connections stay if not', async (t) => {
    const { server, end, ending, lasting } = await comeIn(t, ['--jwt-leeway', '0s']);
    // A new one is refused from then on; those that were there are not.
    const expired = mint({ exp: end });
    let refused;
    do {
      refused = (await server.get('/api/jobs', expired)).status === 401;
    } while (!refused);
    await server.tell('some-job', { stage: 'a', progress: 0.5, message: '' }, mint({ exp: now() + 60 }));
    for (const { watcher } of [...ending, ...lasting]) {
      await watcher.settle();
      assert.equal(watcher.close, null, watcher.url);
      watcher.drop();
    }
  });
});
