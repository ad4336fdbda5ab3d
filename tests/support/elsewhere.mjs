// Where videos are downloaded from: an HTTP server of the test's own, which answers each
// path as it is told to, also badly.
import http from 'node:http';

export class Elsewhere {
  static async during(t) {
    const one = new Elsewhere();
    t.after(() => one.end());
    await one.start();
    return one;
  }

  paths = new Map();
  requests = []; // { path, range, headers, sent }

  async start() {
    this.server = http.createServer((request, answer) => this.#answer(request, answer));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
  }

  url(path) {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  // What is to be had at a path: a body, or a function that answers by itself.
  //   type, etag, disposition   fields of the answer
  //   ranges: false             a Range is passed over
  //   length: false             chunked, without Content-Length
  //   cuts: [n, ...]            the first answers break off behind n bytes each
  //   hold: n, or [n, ...]      behind n bytes of the first answer nothing comes until release(path); each once
  put(path, body, how = {}) {
    const holds = [how.hold ?? []].flat().map((at) => {
      const one = { at };
      one.released = new Promise((resolve) => (one.release = resolve));
      return one;
    });
    this.paths.set(path, {
      body, etag: '"v1"', type: 'video/mp4', ranges: true, length: true, ...how,
      cuts: [...(how.cuts ?? [])], holds, unreleased: [...holds],
    });
    return this.url(path);
  }

  release(path) {
    this.paths.get(path).unreleased.shift()?.release();
  }

  // Those of one path.
  asked(path) {
    return this.requests.filter((one) => one.path === path);
  }

  async #answer(request, answer) {
    const { pathname } = new URL(request.url, 'http://x');
    const entry = { path: pathname, range: request.headers.range, headers: request.headers, sent: 0 };
    this.requests.push(entry);
    const one = this.paths.get(pathname);
    answer.on('error', () => {});
    if (one === undefined) {
      answer.writeHead(404).end('nothing here');
    } else if (typeof one.body === 'function') {
      one.body(request, answer, entry);
    } else {
      await this.#send(one, request, answer, entry);
    }
  }

  #head(one, request) {
    const whole = one.body.length;
    const fields = { 'content-type': one.type, 'accept-ranges': one.ranges ? 'bytes' : 'none' };
    if (one.etag) fields.etag = one.etag;
    if (one.disposition) fields['content-disposition'] = one.disposition;
    const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === one.etag;
    if (!asked || !one.ranges || !isSame) return { status: 200, from: 0, to: whole, fields };
    const from = Number(asked[1]);
    const to = asked[2] === '' ? whole : Math.min(whole, Number(asked[2]) + 1);
    if (from >= whole) return { status: 416, from: 0, to: 0, fields: { 'content-range': `bytes */${whole}` } };
    fields['content-range'] = `bytes ${from}-${to - 1}/${whole}`;
    return { status: 206, from, to, fields };
  }

  async #send(one, request, answer, entry) {
    const { status, from, to, fields } = this.#head(one, request);
    if (one.length) fields['content-length'] = to - from;
    answer.writeHead(status, fields);
    answer.flushHeaders();
    const cut = one.cuts.length > 0 ? one.cuts.shift() : Infinity;
    const gone = new Promise((go) => answer.on('close', go));
    const holds = one.holds.splice(0);
    for (let at = from; at < to && !answer.destroyed;) {
      if (holds[0]?.at === at) await Promise.race([holds.shift().released, gone]);
      if (answer.destroyed) return;
      const stop = Math.min(to, at + 65536, from + cut, holds[0]?.at > at ? holds[0].at : to);
      const more = answer.write(one.body.subarray(at, stop));
      entry.sent += stop - at;
      at = stop;
      if (!more) await Promise.race([gone, new Promise((go) => answer.once('drain', go))]);
      if (at - from >= cut && at < to) {
        // What was written arrives, and then the connection breaks.
        await new Promise((go) => setTimeout(go, 30));
        answer.destroy();
        return;
      }
    }
    answer.end();
  }

  end() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
