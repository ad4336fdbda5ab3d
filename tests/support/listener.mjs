// A client of server-sent events that reads them as they are, and remembers
// everything it was told.
import http from 'node:http';

import { waitFor, within } from './wait.mjs';

export class Listener {
  events = []; // { id, event, data (parsed) }
  comments = [];
  retry = null;
  text = ''; // as it came
  end = null; // 'end', or an error's code

  constructor(url, { method = 'GET', headers = {}, highWaterMark } = {}) {
    this.url = String(url);
    this.opened = new Promise((resolve, reject) => {
      this.request = http.request(url, { method, headers, agent: false, highWaterMark }, (answer) => {
        this.answer = answer;
        answer.setEncoding('utf8');
        answer.on('data', (piece) => this.#hear(piece));
        answer.on('end', () => (this.end ??= 'end'));
        answer.on('error', (error) => (this.end ??= error.code));
        answer.on('close', () => (this.end ??= 'closed'));
        resolve(this);
      });
      this.request.on('error', (error) => {
        this.end ??= error.code;
        reject(error);
      });
      this.request.end();
    });
    this.opened.catch(() => {});
  }

  static open(url, options) {
    return within(new Listener(url, options).opened, `an answer at ${url}`);
  }

  get status() {
    return this.answer.statusCode;
  }

  get headers() {
    return this.answer.headers;
  }

  get messages() {
    return this.events.map(({ data }) => data);
  }

  get ids() {
    return this.events.map(({ id }) => id);
  }

  // HTML, "Server-sent events", 9.2.6, for a server that ends its lines with LF.
  #hear(piece) {
    this.text += piece;
    this.rest = (this.rest ?? '') + piece;
    for (;;) {
      const end = this.rest.indexOf('\n\n');
      if (end < 0) return;
      this.#take(this.rest.slice(0, end).split('\n'));
      this.rest = this.rest.slice(end + 2);
    }
  }

  #take(lines) {
    const fields = {};
    for (const line of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
      if (name === '') this.comments.push(value);
      else fields[name] = fields[name] === undefined ? value : `${fields[name]}\n${value}`;
    }
    if (fields.retry !== undefined) this.retry = Number(fields.retry);
    if (fields.data === undefined) return;
    this.events.push({ ...fields, data: JSON.parse(fields.data) });
  }

  // The first state that fits.
  until(fits, what = String(fits)) {
    return waitFor(() => {
      const found = this.messages.find(fits);
      if (found !== undefined) return found;
      if (this.end) throw new Error(`${this.end} before ${what}; heard ${this.text.slice(-2000)}`);
      return undefined;
    }, `${what} at ${this.url}; heard ${this.text.slice(-2000)}`);
  }

  // How it ended.
  over() {
    return waitFor(() => this.end, `the end of ${this.url}`);
  }

  drop() {
    this.request.on('error', () => {});
    this.request.destroy();
  }
}
