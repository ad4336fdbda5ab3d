// A WebSocket client that remembers everything it was told.
import { require } from './packages.mjs';
import { waitFor, within } from './wait.mjs';

const { WebSocket } = require('ws');

export class Watcher {
  messages = []; // parsed, or the text itself where it is not JSON
  texts = []; // as they came
  close = null; // { code, reason } when it is over

  constructor(url, options = {}) {
    this.url = url;
    const { protocols = [], ...rest } = options;
    this.socket = new WebSocket(url, protocols, rest);
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', () => resolve(this));
      this.socket.on('error', reject);
    });
    this.opened.catch(() => {});
    this.socket.on('error', (error) => (this.error = error));
    this.socket.on('message', (data) => this.#hear(data.toString('utf8')));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        this.close = { code, reason: reason.toString('utf8') };
        resolve(this.close);
      });
    });
  }

  #hear(text) {
    this.texts.push(text);
    try {
      this.messages.push(JSON.parse(text));
    } catch {
      this.messages.push(text);
    }
    this.onmessage?.(this.messages.at(-1));
  }

  get last() {
    return this.messages.at(-1);
  }

  send(text) {
    this.socket.send(typeof text === 'string' ? text : JSON.stringify(text));
  }

  // The first message, from index `from` on, that fits.
  until(fits, what = String(fits), { from = 0, timeout } = {}) {
    return waitFor(
      () => {
        const found = this.messages.slice(from).find(fits);
        if (found !== undefined) return found;
        if (this.close) {
          throw new Error(`closed ${this.close.code} before ${what}; heard ${this.texts.join('\n')}`);
        }
        return undefined;
      },
      `${what} at ${this.url}; heard ${this.texts.slice(-8).join('\n')}`,
      { timeout },
    );
  }

  // Everything that the server had said before it answered a ping is heard.
  async settle() {
    const answered = new Promise((resolve) => this.socket.once('pong', resolve));
    this.socket.ping();
    await within(Promise.race([answered, this.closed]), `a pong at ${this.url}`);
    return this;
  }

  async leave() {
    this.socket.close(1000);
    await within(this.closed, `the end of ${this.url}`);
  }

  drop() {
    this.socket.terminate();
  }
}

// Connects and waits for the end of the handshake.
export async function watch(url, options) {
  const watcher = new Watcher(url, options);
  return within(watcher.opened, `a WebSocket at ${url}`);
}
