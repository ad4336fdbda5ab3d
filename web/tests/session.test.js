import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Session, takeToken } from '../session.js';

class Storage {
    map = new Map();
    getItem = key => this.map.get(key) ?? null;
    setItem = (key, value) => this.map.set(key, value);
    removeItem = key => this.map.delete(key);
}

const answers = (...list) => async () => {
    const [status, body = {}] = list.length > 1 ? list.shift() : list[0];
    return { ok: status === 200, status, json: async () => body };
};

const nobody = () => assert.fail('nobody should be asked');

test('the_server_gives_a_token_once_to_all_who_wait', async () => {
    let asked = 0;
    const one = answers([200, { token: 'a', expires_in: 60 }]);
    const session = new Session({
        storage: new Storage(), ask: nobody,
        fetch: () => {
            asked++;
            return one();
        },
    });
    assert.deepEqual(await Promise.all([session.token(), session.token()]), ['a', 'a']);
    assert.equal(await session.token(), 'a');
    assert.equal(asked, 1);
});

test('a_person_is_asked_when_the_server_gives_none', async () => {
    const storage = new Storage();
    const reasons = [];
    const session = new Session({
        storage, fetch: answers([401]),
        ask: async reason => {
            reasons.push(reason);
            return `typed-${reasons.length}`;
        },
    });
    assert.equal(await session.token(), 'typed-1');
    session.reject('typed-1', 'expired');
    assert.equal(await session.token(), 'typed-2');
    assert.deepEqual(reasons, ['', 'expired']);
    const later = new Session({ storage, ask: nobody, fetch: nobody });
    assert.equal(await later.token(), 'typed-2');
});

test('a_late_refusal_does_not_hit_a_newer_token', async () => {
    const session = new Session({
        storage: new Storage(), ask: nobody,
        fetch: answers([200, { token: 'old' }], [200, { token: 'new' }]),
    });
    await session.token();
    session.reject('old', '');
    assert.equal(await session.token(), 'new');
    session.reject('old', '');
    assert.equal(await session.token(), 'new');
});

test('a_token_is_renewed_before_it_runs_out', async () => {
    const session = new Session({
        storage: new Storage(), ask: nobody,
        fetch: answers([200, { token: 'short', expires_in: -1 }], [200, { token: 'next' }]),
    });
    assert.equal(await session.token(), 'short');
    assert.equal(await session.token(), 'next');
});

test('a_server_in_trouble_is_not_taken_for_one_that_wants_a_token', async () => {
    const session = new Session({ storage: new Storage(), ask: nobody, fetch: answers([503]) });
    await assert.rejects(session.token(), /503/);
});

test('the_address_gives_its_token_up', () => {
    assert.deepEqual(takeToken('#token=a.b.c'), { token: 'a.b.c', hash: '' });
    assert.deepEqual(takeToken('#x=1&token=t'), { token: 't', hash: '#x=1' });
    assert.deepEqual(takeToken('#top'), { token: null, hash: '#top' });
});
