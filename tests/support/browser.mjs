// Real Chromium, and pages that come from the server's own origin.
import { existsSync, readFileSync } from 'node:fs';

import { require } from './packages.mjs';

const { chromium } = require('playwright-core');
const esbuild = require('esbuild');

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  .find((file) => existsSync(file));

const PATIENCE = 120_000; // of who waits for a page, on any machine

export function launch({ args = [] } = {}) {
  return chromium.launch({
    executablePath,
    timeout: PATIENCE,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--autoplay-policy=no-user-gesture-required', ...args],
  });
}

const snippets = new URL('../e2e/snippets/', import.meta.url);

// A piece of a document as it stands there; of what is in it, only the host is changed.
export function snippet(name, server) {
  const text = readFileSync(new URL(name, snippets), 'utf8');
  return text
    .replaceAll('wss://api.example.com', `ws://${server.host}`)
    .replaceAll(/(?<=(?:ws|http):\/\/)localhost:(3001|8084)/g, server.host);
}

// A module and what it imports, as one script for a page. Files, by their name
// without ending, can be given as text.
export async function bundle(entry, files = {}) {
  const given = {
    name: 'given',
    setup(build) {
      build.onResolve({ filter: /^\./ }, ({ path }) => {
        const name = Object.keys(files).find((one) => one.split('.')[0] === path.split('/').at(-1));
        return name ? { path: name, namespace: 'given' } : undefined;
      });
      build.onLoad({ filter: /.*/, namespace: 'given' }, ({ path }) => ({
        contents: files[path],
        loader: path.split('.').at(-1),
        resolveDir: new URL('../e2e/', import.meta.url).pathname,
      }));
    },
  };
  const { outputFiles } = await esbuild.build({
    stdin: {
      contents: entry,
      loader: 'tsx',
      resolveDir: new URL('../e2e/', import.meta.url).pathname,
    },
    bundle: true,
    write: false,
    format: 'iife',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    plugins: [given],
  });
  return outputFiles[0].text;
}

// TypeScript as a plain script: its types taken off, nothing else.
export async function untyped(source, loader = 'ts') {
  return (await esbuild.transform(source, { loader, target: 'es2022' })).code;
}

// A page of the server's origin that holds `body` and runs `script`. What it
// logs and what goes wrong in it is kept: page.heard, page.broke, page.alerts.
export async function openPage(browser, server, { body = '', script = '' } = {}) {
  // A page that came out of the test's hands counts as public, and may reach
  // the loopback only if somebody allowed it.
  const context = await browser.newContext({ permissions: ['local-network-access'] });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.heard = [];
  page.broke = [];
  page.alerts = [];
  page.on('console', (message) => page.heard.push(message.text()));
  page.on('pageerror', (error) => page.broke.push(String(error)));
  page.on('dialog', (dialog) => {
    page.alerts.push(dialog.message());
    dialog.dismiss().catch(() => {});
  });
  const address = `${server.origin}/a-page-of-the-test`;
  await page.route(address, (route) =>
    route.fulfill({
      contentType: 'text/html; charset=utf-8',
      body: `<!doctype html><title>test</title><body>${body}</body>`,
    }),
  );
  await page.goto(address);
  if (script) await page.addScriptTag({ content: script });
  return page;
}
