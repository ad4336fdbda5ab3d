// How long to wait before the next attempt, and a wait that ends early when the
// network comes back.

const FIRST_MS = 1000;
const LAST_MS = 30000;

// Doubles with every attempt; half of it is chance, so that a thousand pages
// that lost the same server do not come back in the same instant.
export function backoff(attempt, random = Math.random) {
    const full = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
    return Math.round(full / 2 + random() * full / 2);
}

export function wait(ms, signal) {
    return new Promise((resolve, reject) => {
        if (signal?.aborted) {
            reject(signal.reason);
            return;
        }
        const done = () => {
            clearTimeout(timer);
            globalThis.removeEventListener?.('online', done);
            signal?.removeEventListener('abort', done);
            if (signal?.aborted)
                reject(signal.reason);
            else
                resolve();
        };
        const timer = setTimeout(done, ms);
        globalThis.addEventListener?.('online', done);
        signal?.addEventListener('abort', done);
    });
}
