// GET /metrics, read as strictly as its format (Prometheus text, 0.0.4) is meant.
import assert from 'node:assert/strict';

import { waitFor } from './wait.mjs';

const SAMPLE = /^([a-z][a-z0-9_]*)(?:\{([a-z]+)="([^"\\\n]*)"\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)$/;

// { families: name -> type, samples: 'name{label="value"}' -> number }
export function parse(text) {
  const families = new Map();
  const samples = new Map();
  let family;
  assert.ok(text.endsWith('\n'));
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-z0-9_]+) \S.*\.$/.exec(line);
    const type = /^# TYPE ([a-z0-9_]+) (counter|gauge)$/.exec(line);
    if (help) {
      [, family] = help;
      assert.ok(!families.has(family), `${family} comes twice`);
      families.set(family, undefined);
    } else if (type) {
      assert.equal(type[1], family, 'TYPE follows HELP');
      families.set(family, type[2]);
      assert.equal(family.endsWith('_total'), type[2] === 'counter', family);
    } else {
      const sample = SAMPLE.exec(line);
      assert.ok(sample, `not a sample: ${line}`);
      assert.equal(sample[1], family, 'a sample stands below its family');
      const key = line.slice(0, line.lastIndexOf(' '));
      assert.ok(!samples.has(key), `${key} comes twice`);
      samples.set(key, Number(sample[4]));
      assert.ok(families.get(family) === 'gauge' || Number(sample[4]) >= 0, line);
    }
  }
  return { families, samples };
}

export async function metrics(server, token) {
  const answer = await server.get('/metrics', token);
  assert.equal(answer.status, 200, answer.text);
  return parse(answer.text).samples;
}

// Which limits were met since `before`, and how often.
export function limited(before, now) {
  const met = {};
  for (const [key, value] of now) {
    const limit = /^reelay_limited_total\{limit="(.*)"\}$/.exec(key)?.[1];
    if (limit && value !== before.get(key)) met[limit] = value - before.get(key);
  }
  return met;
}

// Waits for a sample to have a value, and gives all of them.
export function untilMetric(server, key, value) {
  return waitFor(async () => {
    const now = await metrics(server);
    return now.get(key) === value ? now : null;
  }, `${key} to be ${value}`);
}
