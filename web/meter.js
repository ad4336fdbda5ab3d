// How fast an amount grows, seen over the last few seconds. Pure.

const WINDOW_MS = 8000;
const SETTLED_MS = 800; // less than this tells nothing

export class Meter {
    #samples = [];

    add(amount, now) {
        this.#samples.push({ amount, now });
        while (this.#samples.length > 2 && now - this.#samples[1].now > WINDOW_MS)
            this.#samples.shift();
    }

    // After a pause the past says nothing about the present.
    reset() {
        this.#samples = [];
    }

    // Per second, or null while there is too little to tell.
    speed() {
        const first = this.#samples[0];
        const last = this.#samples[this.#samples.length - 1];
        if (!first || last.now - first.now < SETTLED_MS)
            return null;
        return Math.max(0, (last.amount - first.amount) / (last.now - first.now) * 1000);
    }
}
