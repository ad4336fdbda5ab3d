// The page at / shows it, and what comes out plays in a real browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { launch } from '../support/browser.mjs';
import { clip } from '../support/clips.mjs';
import { Server } from '../support/server.mjs';
import { waitFor } from '../support/wait.mjs';

describe('the page', () => {
  let server;
  let browser;
  let file;

  before(async () => {
    file = await clip({ seconds: 6, size: '640x360' });
    server = await Server.start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server.end();
  });

  const open = async () => {
    const page = await browser.newPage();
    page.broke = [];
    page.on('pageerror', (error) => page.broke.push(String(error)));
    await page.goto(server.origin);
    return page;
  };

  const playing = (page) =>
    waitFor(
      () => page.evaluate(() => {
        const video = document.querySelector('video');
        if (!video) return false;
        video.muted = true;
        if (video.paused) video.play().catch(() => {});
        return video.currentTime > 1 && video.videoWidth > 0 && { seconds: video.duration };
      }),
      'the video to play',
      { timeout: 120_000 },
    );

  test('takes a file, converts it, and plays it to its end', { timeout: 180_000 }, async () => {
    const page = await open();
    await page.setInputFiles('input[type=file]', file);
    const { seconds } = await playing(page);
    assert.ok(Math.abs(seconds - 6) < 0.6, `${seconds}`);
    await page.evaluate(() => {
      const video = document.querySelector('video');
      video.currentTime = video.duration - 0.8;
    });
    await waitFor(() => page.evaluate(() => document.querySelector('video').ended), 'the video to play to its end');
    assert.deepEqual(page.broke, []);
    await page.close();
  });

  test('fits a narrow phone, whatever a file is called', { timeout: 120_000 }, async () => {
    const page = await open();
    await page.setViewportSize({ width: 320, height: 640 });
    const name = `${'a_name_without_a_place_to_break_it'.repeat(3)}.mp4`;
    await page.setInputFiles('input[type=file]', { name, mimeType: 'video/mp4', buffer: readFileSync(file) });
    const card = page.locator('[data-testid=upload-card]');
    await waitFor(async () => (await card.getAttribute('data-state')) === 'completed', 'the end', { timeout: 110_000 });
    const wide = await page.evaluate(() => [...document.querySelectorAll('body *')]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > 320)
      .map((one) => one.outerHTML.slice(0, 120)));
    assert.deepEqual(wide, []);
    const [outer, inner] = await card.evaluate((one) =>
      [one, ...one.querySelectorAll('.card-head, .phases, .card-foot')].map((part) => part.getBoundingClientRect().right)
        .reduce(([first, most], right) => (first === undefined ? [right, 0] : [first, Math.max(most, right)]), []));
    assert.ok(inner < outer, `${inner} is beyond ${outer}`);
    await page.close();
  });
});
