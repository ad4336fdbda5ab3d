// What a conversion has made so far, as files: segments of each rendition.
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { waitFor } from './wait.mjs';

export const SEGMENT = /^s(\d{5})\.m4s$/;

function segments(tree, rendition) {
  const folder = path.join(tree, rendition);
  return existsSync(folder) ? readdirSync(folder).filter((name) => SEGMENT.test(name)).sort() : [];
}

export const renditions = (tree) => (existsSync(tree) ? readdirSync(tree).filter((name) => /^\d+p$/.test(name)) : []);

// Where it is being made now: with several nodes, each lease has a folder of its own.
export function treeOf({ dataDir }, { id }) {
  const work = path.join(dataDir, 'work', String(id));
  const leases = existsSync(work) ? readdirSync(work).filter((name) => /^\d+$/.test(name)).sort() : [];
  return path.join(work, leases.at(-1) ?? '', 'convert', 'tree');
}

// Waits until every rendition of the picture has so many segments.
export async function grown(tree, count) {
  await waitFor(
    () => renditions(tree).length === 2 && renditions(tree).every((name) => segments(tree, name).length >= count),
    `${count} segments in ${tree}`,
    { timeout: 120_000, every: 5 },
  );
}

// Those that were whole for certain: another one had been begun behind them.
export function inodes(tree) {
  const found = new Map();
  for (const rendition of renditions(tree)) {
    for (const name of segments(tree, rendition)) {
      found.set(`${rendition}/${name}`, statSync(path.join(tree, rendition, name)).ino);
    }
  }
  return found;
}
