// A Task on the page: three bars, one sentence, and what can be done about it.

import { Bar } from './bar.js';
import * as format from './format.js';
import { PHASES } from './task.js';

const RENDER_MS = 80; // changes closer together are shown as one

const TITLES = {
    waiting: 'Queued', uploading: 'Uploading', processing: 'Processing', completed: 'Ready',
    failed: 'Failed', cancelled: 'Cancelled',
};

export class Card {
    element;
    #task;
    #on;
    #bars = {};
    #attempt = 0;
    #timer = 0;
    #shownAt = 0;

    // on.play(task), on.copy(task), on.retry(task), on.dismiss(task)
    constructor(task, template, on) {
        this.#task = task;
        this.#on = on;
        this.element = template.content.firstElementChild.cloneNode(true);
        this.#find('.card-name').textContent = task.name;
        this.#find('.card-size').textContent = format.bytes(task.size);
        for (const name of PHASES) {
            const root = this.#find(`[data-phase="${name}"] .bar`);
            root.setAttribute('aria-label', `${name}, ${task.name}`);
            this.#bars[name] = new Bar(root);
        }
        this.#button('cancel', () => task.cancel());
        this.#button('retry', () => on.retry(task));
        this.#button('play', () => on.play(task));
        this.#button('copy', () => on.copy(task));
        this.#button('dismiss', () => on.dismiss(task));
        this.#render();
    }

    changed() {
        if (this.#timer)
            return;
        const due = Math.max(0, this.#shownAt + RENDER_MS - performance.now());
        this.#timer = setTimeout(() => this.#render(), due);
    }

    #find(selector) {
        return this.element.querySelector(selector);
    }

    #button(name, what) {
        const button = this.#find(`[data-action="${name}"]`);
        const label = button.textContent.trim() || button.title;
        button.setAttribute('aria-label', `${label}: ${this.#task.name}`);
        button.addEventListener('click', what);
    }

    #render() {
        this.#timer = 0;
        this.#shownAt = performance.now();
        const task = this.#task;
        if (task.attempt !== this.#attempt) {
            this.#attempt = task.attempt;
            Object.values(this.#bars).forEach(bar => bar.reset());
        }
        this.element.dataset.state = task.state;
        this.element.dataset.id = task.id ?? '';
        this.#find('.badge').textContent = TITLES[task.state];
        for (const name of PHASES)
            this.#renderPhase(name, task.phases[name]);
        this.#renderText();
        this.#renderActions();
    }

    #renderPhase(name, phase) {
        const task = this.#task;
        const isCurrent = name === task.current;
        const isActive = isCurrent && ['uploading', 'processing'].includes(task.state);
        const isFailed = isCurrent && task.state === 'failed';
        const tone = phase.isOver ? 'done' : isFailed ? 'failed' : '';
        const row = this.#find(`[data-phase="${name}"]`);
        row.classList.toggle('is-active', isActive);
        row.classList.toggle('is-over', phase.isOver);
        const facts = isActive ? describe(phase) : [];
        const value = this.#bars[name].show(phase.fraction, { tone, isActive });
        const isStarted = isActive || phase.isOver || value > 0;
        const isUnknown = isActive && phase.fraction === null;
        const shown = phase.isOver ? '✓' : !isStarted || isUnknown ? '' : `${value}%`;
        row.querySelector('.phase-percent').textContent = shown;
        if (isCurrent)
            this.#find('.card-facts').textContent = facts.join(' · ');
        row.querySelector('.bar').setAttribute('aria-valuetext',
            [isUnknown ? 'under way' : `${value}%`, ...facts].join(', '));
    }

    #renderText() {
        const task = this.#task;
        const text = this.#find('.card-text');
        text.classList.toggle('is-error', task.state === 'failed');
        text.classList.toggle('is-trouble', Boolean(task.retryAt));
        text.textContent = task.state === 'failed' ? format.sentence(task.error) : this.#sentence();
    }

    #sentence() {
        const task = this.#task;
        if (task.isCancelling)
            return 'Cancelling…';
        if (task.state === 'completed' && task.result)
            return [task.message, ...describeResult(task.result)].join(' · ');
        if (!task.retryAt)
            return task.message;
        const seconds = Math.ceil((task.retryAt - Date.now()) / 1000);
        this.#timer ||= setTimeout(() => this.#render(), 1000);
        const trouble = format.sentence(task.message);
        return seconds > 0 ? `${trouble} Trying again in ${seconds} s.`
            : `${trouble} Trying again now.`;
    }

    #renderActions() {
        const task = this.#task;
        const isFinal = ['completed', 'failed', 'cancelled'].includes(task.state);
        const isPlayable = task.state === 'completed' && task.hlsUrl !== null;
        const shown = {
            cancel: !isFinal, retry: task.canRetry, play: isPlayable, copy: isPlayable,
            dismiss: isFinal,
        };
        const focused = document.activeElement;
        for (const [name, isShown] of Object.entries(shown))
            this.#find(`[data-action="${name}"]`).hidden = !isShown;
        // Who pressed a button that is gone should not land at the top of the page.
        if (focused?.hidden && this.element.contains(focused))
            this.#find('button:not([hidden])')?.focus();
    }
}

function describe({ speed, pace, eta }) {
    const facts = [];
    if (typeof speed === 'number')
        facts.push(format.speed(speed));
    if (typeof pace === 'number' && pace > 0)
        facts.push(format.pace(pace));
    if (typeof eta === 'number' && eta >= 0 && Number.isFinite(eta))
        facts.push(`${format.duration(Math.max(1, eta))} left`);
    return facts;
}

function describeResult({ duration, width, height }) {
    const facts = [];
    if (duration > 0)
        facts.push(format.duration(duration));
    if (width > 0 && height > 0)
        facts.push(`${width} × ${height}`);
    return facts;
}
