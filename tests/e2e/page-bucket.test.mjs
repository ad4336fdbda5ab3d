// What a person reads on the page when the bucket, not the server, is the trouble.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { startSwift } from '../support/buckets.mjs';
import { clip } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

describe('the page, with a bucket', () => {
  let swift;
  let server;
  let browser;
  let file;

  before(async () => {
    file = await clip({ seconds: 1 });
    swift = await startSwift();
    server = await Server.start({ args: ['--storage', swift.url] });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.end();
    await swift?.stop();
  });

  // A page whose chunks are answered by `trouble`, as long as `isTroubled`.
  async function upload(t, trouble) {
    const page = await browser.newPage();
    t.after(() => page.close());
    const state = { page, isTroubled: true };
    await page.route(`${swift.endpoint}/**`, (route) =>
      (state.isTroubled && route.request().method() === 'PUT' ? trouble(route) : route.continue()));
    await page.goto(server.origin);
    await page.setInputFiles('input[type=file]', file);
    return state;
  }

  const says = (page, pattern) => waitFor(async () => {
    const text = await page.locator('[data-testid=status-text]').textContent();
    return pattern.test(text) && text;
  }, `${pattern} on the page`, { timeout: 60_000 });

  test('a bucket that lets the page not in is named, and gone on with once it does', { timeout: 120_000 }, async (t) => {
    const state = await upload(t, (route) => route.abort());
    const text = await says(state.page, /storage at/);
    assert.ok(text.includes(new URL(swift.endpoint).host), text);
    assert.match(text, /CORS rule may not let http:\/\/127\.0\.0\.1:\d+ in\. Trying again/);
    assert.doesNotMatch(text, /server cannot be reached/);
    state.isTroubled = false;
    await says(state.page, /completed successfully/);
  });

  test('a bucket that refuses is quoted', { timeout: 120_000 }, async (t) => {
    const state = await upload(t, (route) => route.fulfill({
      status: 403,
      headers: { 'access-control-allow-origin': '*' },
      body: '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>',
    }));
    await says(state.page, /^The storage answered 403 \(AccessDenied\)\. Trying again/);
  });
});
