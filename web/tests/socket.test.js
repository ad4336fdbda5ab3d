import assert from 'node:assert/strict';
import { test } from 'node:test';

import { backoff } from '../backoff.js';
import { LiveSocket } from '../socket.js';

class FakeSocket {
    sent = [];
    isClosed = false;
    constructor(url) {
        this.url = url;
    }
    send(text) {
        this.sent.push(text);
    }
    close() {
        this.isClosed = true;
    }
}

const turn = () => new Promise(resolve => setImmediate(resolve));

// Time that passes when a test says so. (The mock timers of Node 18 lose some.)
class Clock {
    #now = 0;
    #timers = new Map();
    #count = 0;
    #real = { set: globalThis.setTimeout, clear: globalThis.clearTimeout };

    take() {
        globalThis.setTimeout = (call, ms = 0) => {
            this.#timers.set(++this.#count, { call, at: this.#now + ms });
            return this.#count;
        };
        globalThis.clearTimeout = id => this.#timers.delete(id);
    }

    tick(ms) {
        const end = this.#now + ms;
        const next = () => [...this.#timers].sort((a, b) => a[1].at - b[1].at)[0];
        for (let due = next(); due && due[1].at <= end; due = next()) {
            this.#timers.delete(due[0]);
            this.#now = due[1].at;
            due[1].call();
        }
        this.#now = end;
    }

    giveBack() {
        this.#timers.clear();
        globalThis.setTimeout = this.#real.set;
        globalThis.clearTimeout = this.#real.clear;
    }
}

const clock = new Clock();

function start(t, options = {}) {
    clock.take();
    const seen = { sockets: [], states: [], messages: [], misses: 0, refused: [] };
    const live = new LiveSocket('/ws/progress', {
        api: {
            token: async () => `t${seen.refused.length}`,
            refuseToken: token => seen.refused.push(token),
        },
        make: url => {
            seen.sockets.push(new FakeSocket(url));
            return seen.sockets.at(-1);
        },
        on: {
            message: message => seen.messages.push(message),
            state: state => seen.states.push(state),
            miss: () => seen.misses++,
        },
        ...options,
    });
    live.start();
    t.after(() => {
        live.stop();
        clock.giveBack();
    });
    return { live, seen, last: () => seen.sockets.at(-1) };
}

test('waiting_grows_to_half_a_minute_and_half_of_it_is_chance', () => {
    assert.deepEqual([0, 1, 2, 10, 1000].map(n => backoff(n, () => 1)),
        [1000, 2000, 4000, 30000, 30000]);
    assert.equal(backoff(2, () => 0), 2000);
});

test('a_lost_connection_comes_back_by_itself', async t => {
    const { seen, last } = start(t);
    await turn();
    assert.match(last().url, /^ws:\/\/localhost\/ws\/progress\?token=t0$/);
    last().onopen({});
    last().onclose({ code: 1006 });
    assert.deepEqual(seen.states, ['connecting', 'open', 'waiting']);
    assert.equal(seen.misses, 1);
    clock.tick(1000);
    await turn();
    assert.equal(seen.sockets.length, 2);
    last().onopen({});
    last().onmessage({ data: '{"type":"progress"}' });
    assert.deepEqual(seen.messages, [{ type: 'progress' }]);
});

test('an_old_connection_is_not_heard_any_more', async t => {
    const { seen, last } = start(t);
    await turn();
    const old = last();
    old.onopen({});
    old.onclose({ code: 1006 });
    old.onmessage({ data: '{"late":true}' });
    old.onclose({ code: 1006 });
    assert.deepEqual(seen.messages, []);
    assert.equal(seen.misses, 1);
});

test('a_refused_token_is_not_used_again', async t => {
    const { seen, last } = start(t);
    await turn();
    last().onopen({});
    last().onclose({ code: 4001, reason: 'expired' });
    clock.tick(1000);
    await turn();
    assert.deepEqual(seen.refused, ['t0']);
    assert.equal(seen.states.includes('waiting'), false);
    assert.match(last().url, /token=t1$/);
});

test('a_silent_connection_is_asked_and_then_given_up', async t => {
    const { seen, last } = start(t, { ping: 'ping', quietMs: 10000 });
    await turn();
    const socket = last();
    socket.onopen({});
    clock.tick(5000);
    assert.deepEqual(socket.sent, ['ping']);
    socket.onmessage({ data: 'pong' });
    clock.tick(5000);
    clock.tick(4999);
    assert.equal(socket.isClosed, false);
    clock.tick(1);
    assert.equal(socket.isClosed, true);
    assert.equal(seen.states.at(-1), 'waiting');
});

test('a_connection_that_closes_at_once_does_not_reset_the_waiting', async t => {
    const { seen, last } = start(t);
    for (let round = 0; round < 4; round++) {
        await turn();
        last().onopen({});
        last().onclose({ code: 1006 });
        clock.tick(backoff(round, () => 1));
    }
    await turn();
    assert.equal(seen.sockets.length, 5);
    last().onopen({});
    last().onclose({ code: 1006 });
    clock.tick(7999); // the least of the fifth wait
    await turn();
    assert.equal(seen.sockets.length, 5);
});

test('stopped_means_stopped', async t => {
    const { live, seen, last } = start(t);
    await turn();
    last().onopen({});
    live.stop();
    clock.tick(100000);
    await turn();
    assert.equal(seen.sockets.length, 1);
    assert.equal(last().isClosed, true);
    assert.equal(seen.states.at(-1), 'idle');
});
