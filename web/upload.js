// One file on its way to the server: created or found again, sent in chunks that
// are missing, handed over for assembly. Survives network cuts; says everything
// through `on`. What comes after the handover is follow.js.

import { ApiError } from './api.js';
import { backoff, wait } from './backoff.js';
import { missingChunks, planChunks, putChunk } from './chunks.js';

const LANES = 3;
const TRIES = 8;       // in a row, of a server that answers but cannot
const FRESH_URLS = 4;  // in a row, that were refused
const HANDOVERS = 3;

export class Upload {
    id = null;
    #file;
    #api;
    #memory;
    #on;
    #plan;
    #done = 0;            // bytes of chunks the server has acknowledged
    #flying = new Map();  // chunk index -> bytes gone out
    #abort = new AbortController();
    #trouble = new Set(); // the lanes that are waiting to try again

    // on.begun(id), on.progress(bytes), on.trouble(message or null, retryMs)
    constructor(file, { api, memory, on }) {
        this.#file = file;
        this.#api = api;
        this.#memory = memory;
        this.#on = on;
        this.#plan = planChunks(file.size);
    }

    // Resolves when the server has taken the file over; rejects with an ApiError,
    // or with the reason given to `cancel`.
    async run() {
        await this.#begin();
        for (let round = 1;; round++) {
            const missing = await this.#askMissing();
            if (!missing)
                break;
            await this.#sendAll(missing);
            try {
                await this.#handOver();
                break;
            } catch (error) {
                // 409: it is under way already, or a chunk was lost: look again.
                if (error.status !== 409 || round === HANDOVERS)
                    throw error;
            }
        }
        this.#memory.forgetUpload(this.#file);
    }

    cancel(reason) {
        this.#abort.abort(reason);
    }

    get fraction() {
        return this.#file.size ? Math.min(1, this.#sent() / this.#file.size) : 0;
    }

    async #begin() {
        const known = this.#memory.findUpload(this.#file);
        if (known && await this.#isKnownToServer(known.id)) {
            this.id = known.id;
        } else {
            const created = await this.#persist('create', () => this.#api.post(
                '/streaming/create-video/', {
                    title: this.#file.name,
                    fileName: this.#file.name,
                    fileSize: this.#file.size,
                }, this.#options()));
            this.id = created.id;
        }
        this.#memory.keepUpload(this.#file, this.id, 0);
        this.#on.begun(this.id);
    }

    async #isKnownToServer(id) {
        try {
            await this.#persist('find', () => this.#status(id));
            return true;
        } catch (error) {
            if ([403, 404, 410].includes(error.status))
                return false;
            throw error;
        }
    }

    #status(id) {
        return this.#api.get(`/streaming/uploads/${encodeURIComponent(id)}`, this.#options());
    }

    // Null when the server assembles already, and wants nothing more.
    async #askMissing() {
        const held = await this.#persist('ask', () => this.#status(this.id));
        const isOpen = held.state === 'open';
        const missing = isOpen ? missingChunks(this.#plan, held.chunks ?? []) : [];
        const gone = missing.reduce((sum, chunk) => sum + chunk.size, 0);
        this.#done = this.#file.size - gone;
        this.#tell();
        return isOpen ? missing : null;
    }

    async #sendAll(missing) {
        const queue = missing.slice();
        const lane = async () => {
            for (let chunk = queue.shift(); chunk; chunk = queue.shift())
                await this.#sendChunk(chunk);
        };
        const lanes = Array.from({ length: Math.min(LANES, queue.length) }, lane);
        try {
            await Promise.all(lanes);
        } catch (error) {
            this.#abort.abort(error); // one lane gave up: so do the others
            await Promise.allSettled(lanes);
            throw error;
        }
    }

    // Every attempt asks for a fresh URL: the old one may have expired meanwhile.
    async #sendChunk(chunk) {
        const blob = this.#file.slice(chunk.start, chunk.start + chunk.size);
        let refused = 0;
        await this.#persist(chunk.index, async () => {
            const { upload_url: url } = await this.#api.post('/streaming/get-chunk-upload-url/', {
                videoId: this.id, chunkIndex: chunk.index, totalChunks: this.#plan.length,
            }, this.#options());
            try {
                await putChunk(url, blob, {
                    signal: this.#abort.signal,
                    onProgress: sent => this.#fly(chunk, sent),
                });
            } catch (error) {
                this.#flying.delete(chunk.index);
                if (error instanceof ApiError && error.isNetwork)
                    await this.#checkReadable(blob);
                if ([401, 403, 410].includes(error.status) && ++refused < FRESH_URLS)
                    error.isPassingHere = true;
                throw error;
            }
        });
        this.#flying.delete(chunk.index);
        this.#done += chunk.size;
        this.#memory.keepUpload(this.#file, this.id, this.#done / this.#file.size);
        this.#tell();
    }

    // A file that was moved or changed fails just like a network that is cut.
    async #checkReadable(blob) {
        try {
            await blob.slice(0, 1).arrayBuffer();
        } catch {
            throw new ApiError(400, {
                code: 'unreadable',
                message: 'The file can no longer be read. It was moved or has changed.',
            });
        }
    }

    #handOver() {
        return this.#persist('hand over', () => this.#api.post('/streaming/assemble-chunks/', {
            videoId: this.id, fileName: this.#file.name,
        }, this.#options()));
    }

    #options() {
        return { signal: this.#abort.signal };
    }

    #fly(chunk, sent) {
        // The request's own bytes never count for more than the chunk's.
        this.#flying.set(chunk.index, Math.min(sent, chunk.size));
        this.#tell();
    }

    #sent() {
        let sum = this.#done;
        for (const bytes of this.#flying.values())
            sum += bytes;
        return sum;
    }

    #tell() {
        this.#on.progress(this.#sent());
    }

    // Again and again while there is hope: without end when the network is gone,
    // a few times when the server answers that it cannot.
    async #persist(who, what) {
        for (let attempt = 0, answers = 0;; attempt++) {
            try {
                this.#abort.signal.throwIfAborted();
                const result = await what();
                this.#settle(who);
                return result;
            } catch (error) {
                const isPassing = error instanceof ApiError &&
                    (error.isPassing || error.isPassingHere);
                if (!isPassing || (!error.isNetwork && ++answers >= TRIES)) {
                    this.#trouble.delete(who);
                    throw error;
                }
                const delay = Math.max(backoff(attempt), error.retryAfter * 1000);
                this.#trouble.add(who);
                this.#on.trouble(error.message, delay);
                await wait(delay, this.#abort.signal);
            }
        }
    }

    #settle(who) {
        if (this.#trouble.delete(who) && this.#trouble.size === 0)
            this.#on.trouble(null, 0);
    }
}
