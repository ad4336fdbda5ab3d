// A WebSocket that comes back: with backoff and chance, at once when the network
// returns, and also when a connection is dead without having said so.
//
//   idle --start--> connecting --open--> open --close--> waiting --time--> connecting
//
// `stop` leads to idle from everywhere.

import { backoff } from './backoff.js';

const STABLE_MS = 5000;     // a connection that lived so long was a good one
const HANDSHAKE_MS = 15000;
const REFUSED = [4001, 4003, 4401];

export class LiveSocket {
    #path;
    #api;
    #on;
    #ping;
    #quietMs;
    #make;
    #state = 'idle';
    #run = 0; // tells a late event of an earlier connection from one of this
    #socket = null;
    #attempt = 0;
    #timers = new Set();
    #quietTimer = 0;
    #wake = () => this.#retryNow();

    // on.message(object), on.state(state, waitMs), on.miss(): a connection could not
    // be made or was lost, so ask over HTTP. `ping` is sent after half of `quietMs`
    // without a word; after all of it the connection counts as dead.
    constructor(path, { api, on, ping = null, quietMs = 75000, make = url => new WebSocket(url) }) {
        this.#path = path;
        this.#api = api;
        this.#on = on;
        this.#ping = ping;
        this.#quietMs = quietMs;
        this.#make = make;
    }

    start() {
        if (this.#state !== 'idle')
            return;
        globalThis.addEventListener?.('online', this.#wake);
        this.#connect();
    }

    stop() {
        globalThis.removeEventListener?.('online', this.#wake);
        this.#drop();
        this.#move('idle');
    }

    retryNow() {
        this.#retryNow();
    }

    #retryNow() {
        if (this.#state === 'waiting')
            this.#connect();
    }

    #move(state, waitMs = 0) {
        this.#state = state;
        this.#on.state?.(state, waitMs);
    }

    #later(ms, what) {
        const timer = setTimeout(() => {
            this.#timers.delete(timer);
            what();
        }, ms);
        this.#timers.add(timer);
        return timer;
    }

    #drop() {
        this.#run++;
        for (const timer of this.#timers)
            clearTimeout(timer);
        this.#timers.clear();
        this.#socket?.close();
        this.#socket = null;
    }

    async #connect() {
        this.#drop();
        const run = this.#run;
        this.#move('connecting');
        let token;
        try {
            token = await this.#api.token();
        } catch {
            if (run === this.#run)
                this.#lost();
            return;
        }
        if (run !== this.#run)
            return;
        this.#open(run, token);
    }

    #open(run, token) {
        const url = new URL(this.#path, globalThis.location?.href ?? 'http://localhost/');
        url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
        url.searchParams.set('token', token);
        const socket = this.#make(url.href);
        this.#socket = socket;
        const guarded = what => event => run === this.#run && what(event);
        const handshake = this.#later(HANDSHAKE_MS, () => this.#lost());
        socket.onopen = guarded(() => {
            clearTimeout(handshake);
            this.#later(STABLE_MS, () => {
                this.#attempt = 0;
            });
            this.#listen();
            this.#move('open');
        });
        socket.onmessage = guarded(event => this.#read(event.data));
        socket.onclose = guarded(event => {
            if (REFUSED.includes(event.code))
                this.#refused(token, event.reason || 'The server did not accept the token.');
            else
                this.#lost();
        });
    }

    #read(text) {
        this.#listen();
        let message;
        try {
            message = JSON.parse(text);
        } catch {
            return; // the bare "pong"
        }
        this.#on.message(message);
    }

    #listen() {
        clearTimeout(this.#quietTimer);
        this.#timers.delete(this.#quietTimer);
        this.#quietTimer = this.#later(this.#quietMs / 2, () => {
            if (this.#ping)
                this.#socket.send(this.#ping);
            this.#quietTimer = this.#later(this.#quietMs / 2, () => this.#lost());
        });
    }

    #lost() {
        const delay = this.#connectLater();
        this.#move('waiting', delay);
        this.#on.miss?.();
    }

    // The server is there: nothing is lost, another token is needed.
    #refused(token, reason) {
        this.#api.refuseToken(token, reason);
        this.#connectLater();
        this.#move('connecting');
    }

    #connectLater() {
        this.#drop();
        const delay = backoff(this.#attempt++);
        this.#later(delay, () => this.#connect());
        return delay;
    }
}
