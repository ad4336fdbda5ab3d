// The recent jobs, wherever they come from: read once over HTTP, moved by
// /ws/progress, which tells percent and end; the words are asked for, in moderation.

import { moment } from './format.js';
import { isFinal, normalize } from './follow.js';
import { LiveSocket } from './socket.js';

const LIMIT = 50;
const DETAILS_EVERY_MS = 2000; // per job, while it moves
const MANY = 8;                // asked for at once: then rather the whole list

export class Jobs {
    #api;
    #on;
    #jobs = new Map();
    #asked = new Map(); // id -> when, of the last answer
    #wanted = new Set();
    #names = new Map(); // id -> what to call it until the server has a title
    #isAsking = false;
    #timer = 0;
    #socket;

    // on.change(jobs, newest first), on.connection(state, waitMs), on.error(error or null)
    constructor({ api, on }) {
        this.#api = api;
        this.#on = on;
        this.#socket = new LiveSocket('/ws/progress', {
            api, ping: 'ping', quietMs: 50000,
            on: {
                message: message => this.#hear(message),
                state: (state, waitMs) => this.#connection(state, waitMs),
                miss: () => this.refresh(),
            },
        });
    }

    start() {
        this.#socket.start();
        this.refresh();
    }

    retryNow() {
        this.#socket.retryNow();
    }

    // The whole list; also what was missed while the connection was lost.
    async refresh() {
        try {
            const { jobs } = await this.#api.get(`/api/jobs?limit=${LIMIT}`);
            const kept = new Set(jobs.map(job => String(job.id)));
            for (const id of this.#jobs.keys()) {
                if (!kept.has(id))
                    this.#forget(id);
            }
            jobs.forEach(job => this.#put(job));
            this.#on.error(null);
        } catch (error) {
            this.#on.error(error);
        }
        this.#changed();
    }

    async cancel(id) {
        await this.#api.delete(`/api/jobs/${encodeURIComponent(id)}`);
        this.look(id);
    }

    // Something happened to this job that the connection does not tell.
    look(id) {
        this.#want(String(id));
    }

    // A job that this page has asked for, which has no title yet.
    begun(id, name) {
        this.#names.set(String(id), name);
        this.look(id);
    }

    #connection(state, waitMs) {
        this.#on.connection(state, waitMs);
        if (state === 'open')
            this.refresh();
    }

    #forget(id) {
        this.#jobs.delete(id);
        this.#asked.delete(id);
    }

    #put(raw) {
        const id = String(raw.id);
        const old = this.#jobs.get(id);
        const updated = moment(raw.updated_at);
        if (old && updated < old.updated)
            return; // an answer that was overtaken
        const job = {
            ...normalize(raw), id, updated,
            kind: raw.kind ?? '', title: raw.title || this.#names.get(id) || id,
            created: moment(raw.created_at),
        };
        const isNewRun = old && (old.created !== job.created ||
            (isFinal(old.state) && !isFinal(job.state)));
        job.run = (old?.run ?? 0) + (isNewRun ? 1 : 0);
        this.#jobs.set(id, job);
        this.#asked.set(id, performance.now());
    }

    #hear(message) {
        const id = String(message.video_id ?? '');
        if (!id)
            return;
        const job = this.#jobs.get(id);
        if (!job || message.type === 'status' || isFinal(job.state)) {
            this.#want(id);
            return;
        }
        if (message.type !== 'progress' || typeof message.percent !== 'number')
            return;
        job.state = 'processing';
        job.fraction = Math.min(1, Math.max(0, message.percent / 100));
        this.#changed();
        if (performance.now() - (this.#asked.get(id) ?? 0) > DETAILS_EVERY_MS)
            this.#want(id);
    }

    #want(id) {
        this.#wanted.add(id);
        this.#ask();
    }

    // One request at a time, however much moves.
    async #ask() {
        if (this.#isAsking)
            return;
        this.#isAsking = true;
        while (this.#wanted.size > 0) {
            if (this.#wanted.size > MANY) {
                this.#wanted.clear();
                await this.refresh();
                continue;
            }
            const [id] = this.#wanted;
            this.#wanted.delete(id);
            await this.#askOne(id);
        }
        this.#isAsking = false;
    }

    async #askOne(id) {
        this.#asked.set(id, performance.now());
        try {
            this.#put(await this.#api.get(`/api/jobs/${encodeURIComponent(id)}`));
        } catch (error) {
            if (error.status === 404)
                this.#forget(id);
        }
        this.#changed();
    }

    #changed() {
        this.#timer ||= setTimeout(() => {
            this.#timer = 0;
            const list = [...this.#jobs.values()].sort(
                (a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
            list.slice(LIMIT).forEach(job => this.#forget(job.id));
            this.#on.change(list.slice(0, LIMIT));
        }, 100);
    }
}
