// Plays an HLS address: with the browser's own means on Apple's, with hls.js
// everywhere else. hls.js is loaded when it is first needed.

const RECOVERIES = 3; // of a decoder that stumbles, per video

const isNative = video => navigator.vendor.startsWith('Apple') &&
    video.canPlayType('application/vnd.apple.mpegurl') !== '';

export class Player {
    #root;
    #video;
    #title;
    #error;
    #hls = null;
    #run = 0; // a later `open` wins over one that still loads
    #opener = null;
    #onClose;
    url = null;

    constructor({ root, onClose = () => {} }) {
        this.#root = root;
        this.#video = root.querySelector('video');
        this.#title = root.querySelector('.player-title');
        this.#error = root.querySelector('.player-error');
        this.#onClose = onClose;
        root.querySelector('[data-action="close"]').addEventListener('click', () => this.close());
        this.#video.addEventListener('error', () => {
            if (!this.#hls && this.url)
                this.#fail(this.#video.error?.message || 'The video cannot be played.');
        });
    }

    get isOpen() {
        return this.url !== null;
    }

    // `play`: somebody asked for it, so it starts and gets the focus.
    async open(url, title, { play }) {
        const run = ++this.#run;
        this.#unload();
        this.url = url;
        this.#title.textContent = title;
        this.#error.hidden = true;
        this.#root.hidden = false;
        this.#video.setAttribute('aria-label', title);
        if (play)
            this.#present();
        if (isNative(this.#video))
            this.#video.src = url;
        else if (!await this.#load(url, run))
            return;
        if (play)
            this.#video.play().catch(() => {}); // not allowed: the button is there
    }

    close() {
        this.#run++;
        this.#unload();
        this.url = null;
        this.#root.hidden = true;
        this.#onClose();
        this.#opener?.focus();
        this.#opener = null;
    }

    #present() {
        this.#opener = document.activeElement;
        const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
        this.#root.scrollIntoView({ behavior: isCalm ? 'auto' : 'smooth', block: 'nearest' });
        this.#video.focus({ preventScroll: true });
    }

    // True when it goes on loading; false if it failed or something else was opened.
    async #load(url, run) {
        let Hls;
        try {
            ({ default: Hls } = await import('./hls.mjs'));
        } catch {
            if (run === this.#run)
                this.#fail('The player cannot be loaded.');
            return false;
        }
        if (run !== this.#run)
            return false;
        if (!Hls.isSupported()) {
            this.#fail('This browser cannot play HLS video.');
            return false;
        }
        this.#attach(Hls, url);
        return true;
    }

    #attach(Hls, url) {
        let recoveries = 0;
        const hls = new Hls({ capLevelToPlayerSize: true });
        this.#hls = hls;
        hls.on(Hls.Events.ERROR, (_, data) => {
            if (!data.fatal)
                return;
            if (data.type === Hls.ErrorTypes.MEDIA_ERROR && recoveries++ < RECOVERIES)
                hls.recoverMediaError();
            else
                this.#fail(explain(data));
        });
        hls.loadSource(url);
        hls.attachMedia(this.#video);
    }

    #unload() {
        this.#hls?.destroy();
        this.#hls = null;
        this.#video.pause();
        if (this.#video.hasAttribute('src')) {
            this.#video.removeAttribute('src');
            this.#video.load();
        }
    }

    #fail(text) {
        this.#unload();
        this.#error.textContent = text;
        this.#error.hidden = false;
    }
}

function explain({ response, details }) {
    if (response?.code === 404)
        return 'The video is no longer there.';
    if (response?.code)
        return `The video cannot be loaded: the server answered ${response.code}.`;
    return `The video cannot be played (${details}).`;
}
