// A file in chunks: which there are, which are missing, and how one is sent.

import { ApiError } from './api.js';

export const CHUNK_SIZE = 5 * 1024 * 1024;
const STALL_MS = 30000;  // bytes that do not move: the network is gone
const ANSWER_MS = 60000; // all is sent and nobody says a word

export function planChunks(fileSize, chunkSize = CHUNK_SIZE) {
    const total = Math.max(1, Math.ceil(fileSize / chunkSize));
    return Array.from({ length: total }, (_, index) => {
        const start = index * chunkSize;
        return { index, start, size: Math.min(chunkSize, fileSize - start) };
    });
}

// Those the server does not hold in full.
export function missingChunks(plan, held) {
    const sizes = new Map(held.map(chunk => [chunk.index, chunk.size]));
    return plan.filter(chunk => sizes.get(chunk.index) !== chunk.size);
}

// XMLHttpRequest, because fetch does not tell how much of a body has gone out.
export function putChunk(url, blob, { signal, onProgress }) {
    return new Promise((resolve, reject) => {
        const xhr = new XMLHttpRequest();
        let watchdog = 0;
        const target = new URL(url, location.href);
        const unreached = () => (target.origin === location.origin ? ApiError.network()
            : ApiError.storage(target, location.origin));
        const abort = () => xhr.abort();
        const guard = ms => {
            clearTimeout(watchdog);
            watchdog = setTimeout(abort, ms);
        };
        const finish = (settle, value) => {
            clearTimeout(watchdog);
            signal.removeEventListener('abort', abort);
            settle(value);
        };
        xhr.upload.onprogress = event => {
            guard(STALL_MS);
            onProgress(event.loaded);
        };
        xhr.upload.onload = () => guard(ANSWER_MS);
        xhr.onload = () => {
            if (xhr.status >= 200 && xhr.status < 300)
                finish(resolve);
            else
                finish(reject, ApiError.of(xhr.status, xhr.responseText,
                    xhr.getResponseHeader('Retry-After')));
        };
        xhr.onerror = () => finish(reject, unreached());
        xhr.onabort = () => finish(reject, signal.aborted ? signal.reason : unreached());
        signal.addEventListener('abort', abort);
        xhr.open('PUT', url);
        xhr.setRequestHeader('Content-Type', 'application/octet-stream');
        guard(STALL_MS);
        xhr.send(blob);
    });
}
