// Requests to the server, with the token, and its errors in its own words.

export class ApiError extends Error {
    constructor(status, { code = '', message, field, retryAfter = 0 }) {
        super(message);
        this.status = status; // 0: no answer at all
        this.code = code;
        this.field = field;
        this.retryAfter = retryAfter; // seconds
    }

    get isNetwork() {
        return this.status === 0;
    }

    // A full disk (507) does not get emptier by asking again.
    get isPassing() {
        return this.isNetwork || [408, 425, 429].includes(this.status) ||
            (this.status >= 500 && this.status !== 501 && this.status !== 507);
    }

    static network() {
        return new ApiError(0, { code: 'network', message: 'The server cannot be reached.' });
    }

    // Somebody else's storage, which the server sent us to. A browser does not tell
    // whether it is away or does not let this page in.
    static storage({ host }, origin) {
        return new ApiError(0, {
            code: 'storage',
            message: `The storage at ${host} does not answer this page. If it goes on like this, ` +
                `its CORS rule may not let ${origin} in.`,
        });
    }

    static of(status, text, retryAfter) {
        const seconds = Math.max(0, Number.parseInt(retryAfter ?? '', 10) || 0);
        let error = {};
        const refusal = /<Code>(\w+)<\/Code>/.exec(text)?.[1]; // a bucket speaks XML
        const who = refusal ? 'storage' : 'server';
        try {
            error = JSON.parse(text).error ?? {};
        } catch {
            // Not ours: a proxy speaks HTML.
        }
        return new ApiError(status, {
            code: error.code ?? '',
            message: error.message ??
                `The ${who} answered ${status}${refusal ? ` (${refusal})` : ''}.`,
            field: error.field,
            retryAfter: seconds,
        });
    }
}

export class Api {
    #session;

    constructor(session) {
        this.#session = session;
    }

    get(path, options) {
        return this.#request('GET', path, undefined, options);
    }

    post(path, body, options) {
        return this.#request('POST', path, body, options);
    }

    delete(path, options) {
        return this.#request('DELETE', path, undefined, options);
    }

    async token() {
        try {
            return await this.#session.token();
        } catch {
            throw ApiError.network();
        }
    }

    refuseToken(token, reason) {
        this.#session.reject(token, reason);
    }

    async #request(method, path, body, { signal } = {}) {
        for (let attempt = 0;; attempt++) {
            const token = await this.token();
            const response = await this.#send(method, path, body, token, signal);
            if (response.ok)
                return response.status === 204 ? null : readJson(response);
            const error = ApiError.of(response.status, await response.text().catch(() => ''),
                response.headers.get('Retry-After'));
            if (response.status !== 401)
                throw error;
            const mayRepeat = attempt === 0 || this.#session.isByHand;
            this.#session.reject(token, error.message);
            if (!mayRepeat)
                throw error;
        }
    }

    async #send(method, path, body, token, signal) {
        const headers = { Authorization: `Bearer ${token}` };
        if (body !== undefined)
            headers['Content-Type'] = 'application/json';
        try {
            return await fetch(path, {
                method, headers, signal, cache: 'no-store',
                body: body === undefined ? undefined : JSON.stringify(body),
            });
        } catch (error) {
            throw signal?.aborted ? signal.reason : ApiError.network();
        }
    }
}

async function readJson(response) {
    try {
        return await response.json();
    } catch {
        throw ApiError.network(); // cut in the middle of the answer
    }
}
