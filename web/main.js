// Puts the page together: session, uploads, recent jobs, player.

import { Api } from './api.js';
import { Card } from './card.js';
import * as format from './format.js';
import { JobList } from './joblist.js';
import { Jobs } from './jobs.js';
import { Memory } from './memory.js';
import { Player } from './player.js';
import { Session, takeToken } from './session.js';
import { Task } from './task.js';

const $ = id => document.getElementById(id);

// ---- telling ---------------------------------------------------------------------

let toastTimer = 0;

// For those who listen. Sparingly: never for progress.
function announce(text) {
    $('news').textContent = text;
}

// Short news, seen and heard.
function tell(text) {
    const toast = $('toast');
    announce(text);
    toast.textContent = text;
    toast.classList.add('is-shown');
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => toast.classList.remove('is-shown'), 4000);
}

async function copyLink(url) {
    const absolute = new URL(url, location.href).href;
    try {
        await navigator.clipboard.writeText(absolute);
        tell('Link copied');
    } catch {
        // Only secure origins have a clipboard; anywhere else the person copies it.
        prompt('Copy this link:', absolute);
    }
}

// ---- session ---------------------------------------------------------------------

function askForToken(reason) {
    const form = $('token-form');
    const input = $('token-input');
    $('token-error').textContent = reason;
    form.hidden = false;
    input.value = '';
    input.focus();
    return new Promise(resolve => {
        form.addEventListener('submit', event => {
            event.preventDefault();
            form.hidden = true;
            resolve(input.value.trim());
        }, { once: true });
    });
}

const session = new Session({ storage: sessionStorage, ask: askForToken });

function takeTokenFromAddress() {
    const { token, hash } = takeToken(location.hash);
    if (!token)
        return;
    session.keep(token);
    history.replaceState(null, '', location.pathname + location.search + hash);
}

takeTokenFromAddress();
addEventListener('hashchange', takeTokenFromAddress);

const api = new Api(session);
const memory = new Memory(localStorage, sessionStorage);

// ---- player ----------------------------------------------------------------------

const player = new Player({ root: $('player') });
$('player-copy').addEventListener('click', () => copyLink(player.url));

const play = ({ hlsUrl, name, title }) => player.open(hlsUrl, title ?? name, { play: true });
const copy = ({ hlsUrl, fileUrl }) => copyLink(hlsUrl ?? fileUrl);

// ---- uploads ---------------------------------------------------------------------

const cards = new Map(); // Task -> Card
const states = new Map(); // Task -> the state that was last told
const shownIds = new Set(); // of tasks, asked into the list of jobs
const queue = [];
let isUploading = false;

// One after the other: three chunks at once fill the line already.
async function runQueue() {
    if (isUploading)
        return;
    isUploading = true;
    for (let task = queue.shift(); task; task = queue.shift())
        await task.upload();
    isUploading = false;
}

function addTask(task) {
    const card = new Card(task, $('card-template'), {
        play, copy, dismiss,
        retry: async failed => {
            await failed.retry();
            if (failed.state !== 'waiting')
                return;
            queue.push(failed);
            runQueue();
        },
    });
    cards.set(task, card);
    $('cards').append(card.element);
}

function dismiss(task) {
    const { element } = cards.get(task);
    const hadFocus = element.contains(document.activeElement);
    task.leave();
    cards.delete(task);
    states.delete(task);
    element.remove();
    if (hadFocus)
        $('file-input').focus();
    showTitle();
}

function taskChanged(task) {
    cards.get(task)?.changed();
    showTitle();
    if (task.id !== null && !shownIds.has(task.id)) {
        shownIds.add(task.id);
        jobs.look(task.id); // a job that waits makes no news of its own
        showLeftovers();
    }
    if (states.get(task) === task.state)
        return;
    states.set(task, task.state);
    showLeftovers();
    if (task.state === 'cancelled' && task.id !== null)
        jobs.look(task.id);
    if (task.state === 'completed')
        finished(task);
    else if (task.state === 'failed')
        tell(`${task.name} failed`);
}

function finished(task) {
    tell(`${task.name} is ready to play`);
    if (task.hlsUrl && !player.isOpen)
        player.open(task.hlsUrl, task.name, { play: false });
}

function addFiles(files) {
    for (const file of files) {
        const task = new Task(file, { api, memory, onChange: taskChanged });
        addTask(task);
        queue.push(task);
    }
    runQueue();
}

function restoreTasks() {
    for (const { id, name, size } of memory.watched().reverse()) {
        const task = new Task({ name, size }, { api, memory, onChange: taskChanged, id });
        addTask(task);
        task.process();
    }
}

function showTitle() {
    const active = [...cards.keys()].find(task => ['uploading', 'processing'].includes(task.state));
    const fraction = active?.phases[active.current].fraction;
    document.title = active && fraction !== null
        ? `${format.percent(fraction)}% ${active.current} – Reelay` : 'Reelay';
}

// Uploads that an earlier visit began, and nobody has gone on with.
function showLeftovers() {
    const active = new Set([...cards.keys()].map(task => String(task.id)));
    const entries = memory.unfinished().filter(entry => !active.has(String(entry.id)));
    const list = $('leftovers');
    list.replaceChildren(...entries.slice(0, 3).map(leftover));
    list.hidden = entries.length === 0;
}

function leftover(entry) {
    const element = $('leftover-template').content.firstElementChild.cloneNode(true);
    const button = element.querySelector('button');
    element.querySelector('.leftover-name').textContent = entry.name;
    element.querySelector('.leftover-text').textContent =
        `was interrupted at ${format.percent(entry.fraction)}%. Choose the same file to go on.`;
    button.setAttribute('aria-label', `Discard: ${entry.name}`);
    button.addEventListener('click', async () => {
        memory.forgetUpload(entry);
        showLeftovers();
        await jobs.cancel(entry.id).catch(() => {}); // long gone
    });
    return element;
}

// ---- choosing and dropping -------------------------------------------------------

$('file-input').addEventListener('change', event => {
    addFiles(event.target.files);
    event.target.value = ''; // the same file may be chosen again
});

const hasFiles = event => [...event.dataTransfer?.types ?? []].includes('Files');

addEventListener('dragenter', event => {
    if (hasFiles(event))
        $('veil').hidden = false;
});
addEventListener('dragover', event => {
    if (!hasFiles(event))
        return;
    event.preventDefault();
    event.dataTransfer.dropEffect = 'copy';
});
addEventListener('dragleave', event => {
    if (!event.relatedTarget)
        $('veil').hidden = true;
});
addEventListener('drop', event => {
    $('veil').hidden = true;
    if (!hasFiles(event))
        return;
    event.preventDefault();
    addFiles(event.dataTransfer.files);
});

// ---- from elsewhere --------------------------------------------------------------

// The server fetches it and makes a stream of it; its row in the list shows how far it is.
$('from-form').addEventListener('submit', async event => {
    event.preventDefault();
    const input = $('from-input');
    const button = event.target.querySelector('button');
    button.disabled = true;
    showFromError('');
    try {
        const url = format.address(input.value);
        const { jobId } = await api.post('/api/download', { url, hls: true });
        input.value = '';
        tell('The server is fetching it');
        jobs.begun(jobId, format.shortAddress(url));
    } catch (error) {
        showFromError(format.sentence(error.message.replace(/^url: /, '')));
    }
    button.disabled = false;
});

$('from-input').addEventListener('input', () => showFromError(''));

function showFromError(text) {
    $('from-error').textContent = text;
    $('from-error').hidden = !text;
}

addEventListener('beforeunload', event => {
    if ([...cards.keys()].some(task => ['waiting', 'uploading'].includes(task.state)))
        event.preventDefault();
});

// ---- recent jobs -----------------------------------------------------------------

const list = new JobList({
    list: $('jobs-list'), empty: $('jobs-empty'), template: $('job-template'),
    on: {
        play, copy,
        cancel: cancelJob,
    },
});

const jobs = new Jobs({
    api,
    on: {
        change: all => list.show(all),
        connection: showConnection,
        error: showListError,
    },
});

// Of a job that has a card here, the card knows what else there is to stop.
function cancelJob(job) {
    const task = [...cards.keys()].find(({ id }) => id !== null && String(id) === job.id);
    if (task?.canCancel)
        return task.cancel();
    return jobs.cancel(job.id).catch(error => tell(format.sentence(error.message)));
}

// What the connection itself says already need not be said twice.
function showListError(error) {
    const text = error && !error.isNetwork ? error.message : '';
    $('jobs-error').textContent = text;
    $('jobs-error').hidden = !text;
}

let wasLost = false;
let lostTimer = 0;

function showConnection(state, waitMs) {
    const words = { open: 'Live', connecting: 'Connecting', waiting: 'Offline', idle: 'Offline' };
    $('connection').dataset.state = state;
    $('connection').firstElementChild.textContent = words[state];
    clearInterval(lostTimer);
    if (state === 'waiting') {
        countDown(Date.now() + waitMs);
        if (!wasLost)
            announce('Connection lost'); // the banner shows it
        wasLost = true;
    } else if (state === 'open') {
        if (wasLost)
            tell('Connected again');
        wasLost = false;
    } else {
        $('lost-wait').textContent = 'Trying to connect…';
    }
    $('lost').hidden = !wasLost;
}

function countDown(until) {
    const show = () => {
        const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000));
        $('lost-wait').textContent = `Next try in ${seconds} s.`;
    };
    show();
    lostTimer = setInterval(show, 500);
}

$('lost-retry').addEventListener('click', () => jobs.retryNow());

document.addEventListener('visibilitychange', () => {
    if (!document.hidden)
        jobs.refresh(); // a page in the background may have slept
});

jobs.start();
restoreTasks();
showLeftovers();
