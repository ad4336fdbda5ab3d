// One file from being chosen to being playable. Knows nothing of the page: it
// changes and says so.
//
//   waiting --> uploading --> processing --> completed
//      |            |             |
//      +------------+-------------+--> failed (may be tried again), cancelled

import { Follow, isFinal } from './follow.js';
import { Meter } from './meter.js';
import { Upload } from './upload.js';

export const PHASES = ['uploading', 'assembling', 'converting'];

const phase = () => ({ fraction: 0, speed: null, eta: null, isOver: false });

class Cancelled extends Error {}

export class Task {
    state = 'waiting';
    phases = Object.fromEntries(PHASES.map(name => [name, phase()]));
    current = 'uploading'; // the phase that moves, or where it failed
    message = 'Waiting for its turn';
    error = '';
    id = null;
    hlsUrl = null;
    result = null;
    attempt = 0; // bars begin anew with each
    isCancelling = false;
    #file;
    #deps;
    #upload = null;
    #follow = null;
    #meter = new Meter();

    // `file` is a File, or {name, size} of a job that is the server's already.
    constructor(file, { api, memory, onChange, id = null }) {
        this.name = file.name;
        this.size = file.size;
        this.#file = file;
        this.#deps = { api, memory, onChange };
        this.id = id;
    }

    get canCancel() {
        return !isFinal(this.state) && !this.isCancelling;
    }

    get canRetry() {
        return this.state === 'failed' &&
            (this.current === 'uploading' ? this.#file instanceof Blob : this.id !== null);
    }

    // Resolves when the bytes are with the server, or never will be.
    async upload() {
        if (this.state !== 'waiting')
            return;
        const { api, memory } = this.#deps;
        this.#set({ state: 'uploading', current: 'uploading', message: 'Starting', error: '' });
        this.#meter.reset();
        this.#upload = new Upload(this.#file, { api, memory, on: this.#uploadEvents() });
        try {
            await this.#upload.run();
            if (this.state === 'uploading') // else it was cancelled at the last moment
                this.process();
        } catch (error) {
            this.#fail(error);
        } finally {
            this.#upload = null;
        }
    }

    // From here the server works and we look on.
    process() {
        const { memory } = this.#deps;
        const uploading = { ...phase(), fraction: 1, isOver: true };
        memory.watch({ id: this.id, name: this.name, size: this.size });
        this.#set({
            state: 'processing', current: 'assembling', message: 'Waiting for the server',
            error: '', phases: { ...this.phases, uploading },
        });
        this.#listen();
    }

    async cancel() {
        const { api, memory } = this.#deps;
        if (!this.canCancel)
            return;
        const isWithServer = this.state === 'processing';
        this.#upload?.cancel(new Cancelled());
        if (this.state !== 'processing')
            this.#end();
        if (this.id === null)
            return;
        this.#set({ isCancelling: isWithServer });
        try {
            await api.delete(`/api/jobs/${encodeURIComponent(this.id)}`);
            if (isWithServer)
                this.#end();
        } catch (error) {
            if (isWithServer)
                this.#set({ isCancelling: false, message: error.message });
        }
        memory.forgetUpload(this.#file);
    }

    // For an upload: back in the queue. For a job: the owner asks again.
    async retry() {
        if (!this.canRetry)
            return;
        const isUpload = this.current === 'uploading';
        this.attempt++;
        this.phases = Object.fromEntries(PHASES.map(name => [name, phase()]));
        if (isUpload) {
            this.#set({ state: 'waiting', error: '', message: 'Waiting for its turn' });
            return;
        }
        try {
            await this.#deps.api.post('/streaming/assemble-chunks/',
                { videoId: this.id, fileName: this.name });
            this.process();
        } catch (error) {
            this.#fail(error);
        }
    }

    // Stops looking; the job goes on.
    leave() {
        this.#follow?.stop();
        if (this.id !== null)
            this.#deps.memory.unwatch(this.id);
    }

    #uploadEvents() {
        return {
            begun: id => {
                this.id = id;
                this.#set({ message: 'Uploading' });
            },
            progress: bytes => this.#progress(bytes),
            trouble: (message, retryMs) => {
                this.#meter.reset();
                Object.assign(this.phases.uploading, { speed: null, eta: null });
                this.#set({
                    message: message ?? 'Uploading',
                    retryAt: message ? Date.now() + retryMs : null,
                });
            },
        };
    }

    #progress(bytes) {
        this.#meter.add(bytes, performance.now());
        const speed = this.#meter.speed();
        const left = this.size - bytes;
        const fraction = this.size ? bytes / this.size : 0;
        const eta = speed ? left / speed : null;
        this.phases.uploading = { fraction, speed, eta, isOver: false };
        this.#set({});
    }

    #listen() {
        this.#follow?.stop();
        this.#follow = new Follow(this.id, {
            api: this.#deps.api,
            on: { state: job => this.#take(job) },
        });
        this.#follow.start();
    }

    #take(job) {
        if (job.state === 'completed')
            this.#complete(job);
        else if (job.state === 'cancelled')
            this.#end();
        else if (job.state === 'failed')
            this.#fail(new Error(job.error || job.message), job.stage);
        else
            this.#move(job);
    }

    #move(job) {
        const current = job.stage === 'converting' ? 'converting' : 'assembling';
        const phases = { ...this.phases };
        if (current === 'converting')
            phases.assembling = { ...phase(), fraction: 1, isOver: true };
        phases[current] = {
            fraction: job.stageFraction, pace: job.speed, eta: job.eta, isOver: false,
        };
        this.#set({ current, phases, message: job.message || this.message });
    }

    #complete(job) {
        for (const name of PHASES)
            this.phases[name] = { ...phase(), fraction: 1, isOver: true };
        this.#deps.memory.unwatch(this.id);
        this.#set({
            state: 'completed', message: job.message || 'Ready', hlsUrl: job.hlsUrl,
            result: job.result, isCancelling: false,
        });
    }

    #fail(error, stage) {
        if (error instanceof Cancelled || this.isCancelling) {
            this.#end();
            return;
        }
        const current = PHASES.includes(stage) ? stage : this.current;
        this.#set({ state: 'failed', current, error: error.message, message: '', retryAt: null });
    }

    #end() {
        this.leave();
        this.#set({ state: 'cancelled', message: 'Cancelled', isCancelling: false, retryAt: null });
    }

    #set(fields) {
        Object.assign(this, fields);
        this.#deps.onChange(this);
    }
}
