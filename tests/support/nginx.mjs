// A real nginx in front of a server. Without a configuration it has what most
// have: proxy_pass, and all else as it comes (HTTP/1.0 to the server, buffering on).
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { freePort } from './ports.mjs';
import { temporaryFolder } from './server.mjs';
import { waitFor, within } from './wait.mjs';

// Not on everybody's path.
const nginx = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';

const answers = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.unref().on('connect', () => socket.destroy());
  });

// docs/operations.md's, but for its addresses.
export function documented(server, port) {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  return /```nginx\n(.*?)```/s.exec(text)[1]
    .replace('listen 8080', `listen 127.0.0.1:${port}`).replace('http://127.0.0.1:3001', server.origin);
}

const bare = (server, port) => `
    server {
        listen 127.0.0.1:${port};
        location / {
            proxy_pass ${server.origin};
        }
    }`;

// Gives its origin; it ends with the test.
export async function nginxBefore(t, server, configuration = bare) {
  const folder = temporaryFolder('reelay-nginx-');
  const port = await freePort();
  mkdirSync(path.join(folder, 'tmp'));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path tmp/${name};`).join('\n    ');
  writeFileSync(path.join(folder, 'nginx.conf'), `
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {}
http {
    access_log off;
    ${paths}
    ${configuration(server, port)}
}
`);
  const child = spawn(nginx, ['-p', folder, '-e', 'error.log', '-c', 'nginx.conf'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.on('close', resolve));
  t.after(async () => {
    child.kill('SIGTERM');
    await within(exited, 'nginx to end');
    rmSync(folder, { recursive: true, force: true });
  });
  await waitFor(() => answers(port), 'nginx to listen');
  return `http://127.0.0.1:${port}`;
}
