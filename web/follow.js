// One job, watched to its end over /ws/jobs/{id}; over HTTP while there is no
// connection.

import { LiveSocket } from './socket.js';

const ASSEMBLING_SHARE = 0.2; // of the whole job; converting is the rest

const clamp = fraction => Math.min(1, Math.max(0, fraction));

// The fraction of the stage, where only that of the job is told.
function stageFraction(stage, fraction) {
    if (stage === 'assembling')
        return clamp(fraction / ASSEMBLING_SHARE);
    if (stage === 'converting')
        return clamp((fraction - ASSEMBLING_SHARE) / (1 - ASSEMBLING_SHARE));
    return clamp(fraction);
}

const number = value => (typeof value === 'number' && Number.isFinite(value) ? value : null);

// A message of the door, in the words of GET /api/jobs/{id}; null if it is none
// about the job (greeting, keepalive).
export function readMessage(message) {
    if (typeof message.status !== 'string')
        return null;
    const metadata = message.metadata ?? {};
    return normalize({
        state: message.status,
        stage: message.stage,
        progress: message.progress,
        stage_progress: metadata.stage_progress,
        message: message.message,
        error: message.error,
        speed: metadata.speed,
        eta_seconds: metadata.eta_seconds,
        hls_url: message.result?.hls_url,
        hls_path: message.result?.hls_path,
        result: message.result,
    });
}

export function normalize(job) {
    const fraction = number(job.progress);
    const told = number(job.stage_progress);
    return {
        state: job.state,
        stage: job.stage ?? '',
        fraction: fraction === null ? null : clamp(fraction),
        stageFraction: told !== null ? clamp(told)
            : fraction === null ? null : stageFraction(job.stage, fraction),
        message: job.message ?? '',
        error: job.error || '',
        speed: number(job.speed),
        eta: number(job.eta_seconds),
        hlsUrl: hlsUrl(job),
        fileUrl: job.download_url || null,
        result: job.result ?? null,
    };
}

// An object store may tell only where the playlist's folder lies.
function hlsUrl({ hls_url: url, hls_path: path }) {
    if (url)
        return url;
    return path ? `/${path.replace(/^\/+|\/+$/g, '')}/master.m3u8` : null;
}

export const isFinal = state => state === 'completed' || state === 'failed' ||
    state === 'cancelled';

export class Follow {
    #id;
    #api;
    #on;
    #socket;
    #isLive = false;
    #isAsking = false;
    #isOver = false;

    // on.state(normalized job)
    constructor(id, { api, on }) {
        this.#id = id;
        this.#api = api;
        this.#on = on;
        this.#socket = new LiveSocket(`/ws/jobs/${encodeURIComponent(id)}`, {
            api,
            on: {
                message: message => this.#take(readMessage(message)),
                state: state => {
                    this.#isLive = state === 'open';
                },
                miss: () => this.#poll(),
            },
        });
    }

    start() {
        this.#socket.start();
    }

    stop() {
        this.#isOver = true;
        this.#socket.stop();
    }

    #take(state) {
        if (!state || this.#isOver)
            return;
        if (isFinal(state.state))
            this.stop();
        this.#on.state(state);
    }

    async #poll() {
        if (this.#isAsking)
            return;
        this.#isAsking = true;
        try {
            const job = await this.#api.get(`/api/jobs/${encodeURIComponent(this.#id)}`);
            if (!this.#isLive) // else the socket has told newer things already
                this.#take(normalize(job));
        } catch {
            // The next attempt asks again.
        } finally {
            this.#isAsking = false;
        }
    }
}
