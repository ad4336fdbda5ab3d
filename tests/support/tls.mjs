// TLS in front of what a test has: a certificate authority of its own, certificates of any
// kind, and a relay that hands on the bytes as they come, so that Host stays what it was.
//
//   const ca = await Authority.during(t);
//   const front = await ca.before(t, origin, { names: ['localhost'] });
//   front.port, front.origin      https://127.0.0.1:PORT
//   front.connections, greeted    how many began, and how many got past the handshake
//   front.show(await ca.certificate())    another one from now on
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';

import { temporaryFolder } from './server.mjs';

const run = promisify(execFile);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

// Of `openssl ca`, which can tell of any time.
const CONFIGURATION = `
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = none
[none]
`;

export class Authority {
  static async make() {
    const one = new Authority();
    await one.begin();
    return one;
  }

  static async during(t) {
    const one = await Authority.make();
    t.after(() => one.end());
    return one;
  }

  made = 0;

  async begin() {
    this.folder = temporaryFolder('reelay-ca-');
    writeFileSync(path.join(this.folder, 'conf'), CONFIGURATION);
    writeFileSync(path.join(this.folder, 'index.txt'), '');
    await this.#openssl('req', '-x509', ...KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=A private authority',
      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign');
    this.file = path.join(this.folder, 'ca.pem');
    this.pem = readFileSync(this.file, 'utf8');
  }

  end() {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #openssl(...words) {
    const env = { PATH: process.env.PATH, OPENSSL_CONF: path.join(this.folder, 'conf') };
    return run('openssl', words, { cwd: this.folder, env });
  }

  // `isOwn`: signed by itself; `isOver`: it was good until yesterday.
  async certificate({ names = ['127.0.0.1', 'localhost'], isOwn = false, isOver = false } = {}) {
    const name = `host${this.made++}`;
    const alternatives = names.map((one) => `${net.isIP(one) ? 'IP' : 'DNS'}:${one}`).join(',');
    const asked = ['req', ...KEY, '-keyout', `${name}.key`, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternatives}`];
    if (isOwn) {
      await this.#openssl(...asked, '-x509', '-days', '2', '-out', `${name}.pem`);
    } else {
      await this.#openssl(...asked, '-new', '-out', `${name}.csr`);
      const time = (days) => new Date(Date.now() + days * 24 * 3600_000).toISOString().replace(/[-:T]|\.\d+/g, '');
      await this.#openssl('ca', '-batch', '-notext', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-in', `${name}.csr`, '-out', `${name}.pem`,
        '-startdate', time(-3), '-enddate', time(isOver ? -1 : 2));
    }
    const read = (ending) => readFileSync(path.join(this.folder, name + ending), 'utf8');
    const files = ['.pem', '.key'].map((ending) => path.join(this.folder, name + ending));
    return { cert: read('.pem'), key: read('.key'), files, ca: this.file };
  }

  // TLS before what speaks without, at an origin of the loopback's.
  async before(t, to, how) {
    const front = new Front(Number(new URL(to).port), await this.certificate(how));
    await front.listen();
    t.after(() => front.stop());
    return front;
  }
}

class Front {
  connections = 0;
  greeted = 0;

  constructor(to, certificate) {
    this.sockets = new Set();
    const { cert, key } = certificate;
    this.server = tls.createServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket) => {
      this.greeted++;
      this.#pass(socket, net.connect({ port: to, host: '127.0.0.1', allowHalfOpen: true }));
    });
    this.server.on('connection', (socket) => {
      this.connections++;
      this.#keep(socket);
    });
    this.server.on('tlsClientError', () => {});
  }

  #keep(socket) {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
  }

  #pass(here, there) {
    this.#keep(there);
    for (const [from, to] of [[here, there], [there, here]]) {
      from.on('error', () => to.destroy()).on('close', () => to.destroySoon());
      from.pipe(to);
    }
  }

  // Shows another certificate from now on.
  show({ cert, key }) {
    this.server.setSecureContext({ cert, key });
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await new Promise((resolve) => this.server.once('listening', resolve));
    this.port = this.server.address().port;
    this.origin = `https://127.0.0.1:${this.port}`;
  }

  async stop() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
