// The recent jobs on the page: one row each, kept and moved, never rebuilt, so that
// focus stays where it is.

import { Bar } from './bar.js';
import * as format from './format.js';
import { isFinal } from './follow.js';

const STATES = {
    queued: 'Queued', processing: 'Processing', completed: 'Ready', failed: 'Failed',
    cancelled: 'Cancelled',
};
const KINDS = { upload: 'Upload', download: 'Download', external: 'Reported' };

class Row {
    element;
    job = null;
    #bar;
    #run = 0;

    constructor(template, on) {
        this.element = template.content.firstElementChild.cloneNode(true);
        this.#bar = new Bar(this.find('.bar'));
        this.find('[data-action="play"]').addEventListener('click', () => on.play(this.job));
        this.find('[data-action="copy"]').addEventListener('click', () => on.copy(this.job));
        this.find('[data-action="cancel"]').addEventListener('click', () => on.cancel(this.job));
    }

    find(selector) {
        return this.element.querySelector(selector);
    }

    show(job, now) {
        this.job = job;
        if (job.run !== this.#run) {
            this.#run = job.run;
            this.#bar.reset();
        }
        this.element.dataset.state = job.state;
        this.element.dataset.id = job.id;
        this.find('.job-title').textContent = job.title;
        this.find('.job-title').title = job.title;
        this.find('.job-kind').textContent = KINDS[job.kind] ?? job.kind;
        this.find('.badge').textContent = STATES[job.state] ?? job.state;
        this.#showProgress(job);
        this.#showMessage(job);
        this.#showActions(job);
        this.tick(now);
    }

    tick(now) {
        const time = this.find('time');
        const when = this.job.updated || this.job.created;
        time.hidden = !when;
        if (!when)
            return;
        const text = format.ago(when, now);
        if (time.textContent === text)
            return;
        time.textContent = text;
        time.dateTime = new Date(when).toISOString();
        time.title = new Date(when).toLocaleString();
    }

    #showProgress(job) {
        const isActive = job.state === 'processing';
        const bar = this.find('.bar');
        bar.hidden = !isActive;
        bar.setAttribute('aria-label', job.title);
        const value = this.#bar.show(job.fraction, { isActive });
        this.find('.job-percent').textContent = isActive && job.fraction !== null ? `${value}%` : '';
    }

    #showMessage(job) {
        const text = job.state === 'failed' ? format.sentence(job.error || job.message)
            : job.message;
        const message = this.find('.job-message');
        message.textContent = text;
        message.title = text;
        message.hidden = !text || text === STATES[job.state]; // the badge says it
    }

    #showActions(job) {
        const shown = {
            play: job.state === 'completed' && job.hlsUrl !== null,
            save: job.state === 'completed' && job.fileUrl !== null,
            copy: job.state === 'completed' && (job.hlsUrl ?? job.fileUrl) !== null,
            cancel: !isFinal(job.state),
        };
        if (shown.save)
            this.find('[data-action="save"]').href = job.fileUrl;
        for (const [name, isShown] of Object.entries(shown)) {
            const button = this.find(`[data-action="${name}"]`);
            button.hidden = !isShown;
            button.setAttribute('aria-label', `${button.title}: ${job.title}`);
        }
    }
}

export class JobList {
    #list;
    #empty;
    #template;
    #on;
    #rows = new Map();

    // on.play(job), on.copy(job), on.cancel(job)
    constructor({ list, empty, template, on }) {
        this.#list = list;
        this.#empty = empty;
        this.#template = template;
        this.#on = on;
        setInterval(() => this.#tick(), 10000);
    }

    show(jobs) {
        const now = Date.now();
        const kept = new Set(jobs.map(job => job.id));
        for (const [id, row] of this.#rows) {
            if (!kept.has(id)) {
                row.element.remove();
                this.#rows.delete(id);
            }
        }
        jobs.forEach((job, place) => {
            const row = this.#rows.get(job.id) ?? this.#add(job.id);
            row.show(job, now);
            if (this.#list.children[place] !== row.element)
                this.#list.insertBefore(row.element, this.#list.children[place] ?? null);
        });
        this.#empty.hidden = jobs.length > 0;
    }

    #add(id) {
        const row = new Row(this.#template, this.#on);
        this.#rows.set(id, row);
        return row;
    }

    #tick() {
        const now = Date.now();
        this.#rows.forEach(row => row.tick(now));
    }
}
