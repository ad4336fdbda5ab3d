// The one token of this page. It comes from the address (#token=), from an
// earlier visit of this tab, from the server itself, or from the person.

const KEY = 'reelay.token';

export class Session {
    #value = null;
    #expires = Infinity;
    #pending = null;
    #reason = '';
    #storage;
    #ask;
    #fetch;

    // `ask(reason)` gives a promise of a token that somebody typed.
    constructor({ storage, ask, fetch = globalThis.fetch.bind(globalThis) }) {
        this.#storage = storage;
        this.#ask = ask;
        this.#fetch = fetch;
        this.#value = storage.getItem(KEY);
    }

    get isByHand() {
        return this.#storage.getItem(KEY) !== null;
    }

    keep(token) {
        this.#value = token;
        this.#expires = Infinity;
        this.#storage.setItem(KEY, token);
    }

    // Rejects when the server cannot be reached.
    token() {
        if (this.#value && Date.now() < this.#expires)
            return Promise.resolve(this.#value);
        this.#pending ??= this.#obtain().finally(() => {
            this.#pending = null;
        });
        return this.#pending;
    }

    // Says that the server refused this token; a newer one is left alone.
    reject(token, reason) {
        if (this.#value !== token)
            return;
        this.#value = null;
        if (this.isByHand)
            this.#reason = reason;
        this.#storage.removeItem(KEY);
    }

    async #obtain() {
        const response = await this.#fetch('/api/session', { method: 'POST' });
        if (response.ok) {
            const body = await response.json();
            this.#value = body.token;
            // A little early: a token should not run out on its way.
            this.#expires = body.expires_in ? Date.now() + body.expires_in * 900 : Infinity;
            return this.#value;
        }
        if (response.status !== 401 && response.status !== 403)
            throw new Error(`the server answered ${response.status}`);
        const typed = await this.#ask(this.#reason);
        this.#reason = '';
        this.keep(typed);
        return typed;
    }
}

// The token of an address such as /#token=abc, and the address without it.
export function takeToken(hash) {
    const fields = new URLSearchParams(hash.replace(/^#/, ''));
    const token = fields.get('token');
    if (!token)
        return { token: null, hash };
    fields.delete('token');
    const rest = fields.toString();
    return { token, hash: rest ? `#${rest}` : '' };
}
