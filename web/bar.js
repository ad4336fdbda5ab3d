// A progress bar that never runs backwards, and says what it shows to those who
// cannot see it.

import { percent } from './format.js';

export class Bar {
    #root;
    #fill;
    #best = 0;

    // `root` is an element with role=progressbar around one .bar-fill.
    constructor(root) {
        this.#root = root;
        this.#fill = root.querySelector('.bar-fill');
    }

    // Only for a new attempt.
    reset() {
        this.#best = 0;
        this.#root.classList.add('is-reset');
        this.show(0, {});
        void this.#fill.offsetWidth; // the jump back is not animated
        this.#root.classList.remove('is-reset');
    }

    // `fraction` null: under way, nobody knows how far. `tone`: '', 'done' or 'failed'.
    show(fraction, { tone = '', text = '', isActive = false }) {
        const isUnknown = fraction === null && isActive;
        this.#best = Math.max(this.#best, fraction ?? 0);
        const value = percent(this.#best);
        this.#root.classList.toggle('is-unknown', isUnknown);
        this.#root.dataset.tone = tone;
        this.#root.dataset.percent = String(value);
        this.#fill.style.setProperty('--amount', String(this.#best));
        if (isUnknown)
            this.#root.removeAttribute('aria-valuenow');
        else
            this.#root.setAttribute('aria-valuenow', String(value));
        this.#root.setAttribute('aria-valuetext', text || `${value}%`);
        return value;
    }
}
