// What outlives a reload: which uploads were begun (by file, in localStorage) and
// which jobs this tab is watching (in sessionStorage). Losing it loses comfort only,
// so a browser that refuses storage is no error.

const UPLOADS = 'reelay.uploads';
const WATCHED = 'reelay.watched';
const KEEP_MS = 7 * 24 * 3600 * 1000;
const UPLOADS_MAX = 50;
const WATCHED_MAX = 20;

function read(storage, key) {
    try {
        const list = JSON.parse(storage.getItem(key) ?? '[]');
        return Array.isArray(list) ? list : [];
    } catch {
        return [];
    }
}

function write(storage, key, list) {
    try {
        storage.setItem(key, JSON.stringify(list));
    } catch {
        // Full or forbidden.
    }
}

const isSameFile = (entry, file) => entry.name === file.name && entry.size === file.size &&
    entry.lastModified === file.lastModified;

export class Memory {
    #local;
    #session;

    constructor(local, session) {
        this.#local = local;
        this.#session = session;
    }

    unfinished(now = Date.now()) {
        return read(this.#local, UPLOADS).filter(entry => now - entry.at < KEEP_MS);
    }

    findUpload(file) {
        return this.unfinished().find(entry => isSameFile(entry, file));
    }

    // `id` stays as the server gave it, number or text.
    keepUpload(file, id, fraction, now = Date.now()) {
        const others = this.unfinished(now).filter(entry => !isSameFile(entry, file));
        const { name, size, lastModified } = file;
        const entry = { name, size, lastModified, id, fraction, at: now };
        write(this.#local, UPLOADS, [entry, ...others].slice(0, UPLOADS_MAX));
    }

    forgetUpload(file) {
        write(this.#local, UPLOADS, this.unfinished().filter(entry => !isSameFile(entry, file)));
    }

    watched() {
        return read(this.#session, WATCHED);
    }

    watch(job) {
        const others = this.watched().filter(entry => entry.id !== job.id);
        write(this.#session, WATCHED, [job, ...others].slice(0, WATCHED_MAX));
    }

    unwatch(id) {
        write(this.#session, WATCHED, this.watched().filter(entry => entry.id !== id));
    }
}
