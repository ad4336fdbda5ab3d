// Videos made with ffmpeg, once per machine and day: kept in a folder of the
// system's temporary one, under a name that depends on what they are made of.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const folder = path.join(os.tmpdir(), `reelay-clips-${os.userInfo().uid}`);

const made = new Map(); // what this process makes is made once, also when two want it at once

function make(args, ending) {
  const key = args.join('\0') + ending;
  if (!made.has(key)) made.set(key, makeOnce(args, ending));
  return made.get(key);
}

async function makeOnce(args, ending) {
  const name = createHash('sha256').update(args.join('\0')).digest('hex').slice(0, 16) + ending;
  const file = path.join(folder, name);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const unfinished = path.join(folder, `${process.pid}-${name}`);
    await run('ffmpeg', ['-hide_banner', '-nostdin', '-y', '-loglevel', 'error', ...args, unfinished]);
    renameSync(unfinished, file);
  }
  return file;
}

// A moving picture with a tone.
export function clip({ seconds = 3, size = '320x180', rate = 25, sound = true } = {}) {
  const picture = ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`];
  const tone = ['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`];
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', `${rate}`];
  const audio = sound ? ['-c:a', 'aac', '-b:a', '96k'] : [];
  return make([...picture, ...(sound ? tone : []), ...codecs, ...audio, '-movflags', '+faststart'], '.mp4');
}

// Takes seconds to convert, not minutes: for what happens in the middle of it.
export function longClip() {
  return clip({ seconds: 40, size: '1280x720', rate: 30 });
}

// Many bytes that are soon converted: noise, kept without loss.
export function bulkyClip() {
  return make([
    '-f', 'lavfi', '-i', "nullsrc=size=320x180:rate=25:duration=8,geq=random(1)*255:128:128",
    '-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '0', '-pix_fmt', 'yuv420p'], '.mp4');
}

export async function clipBytes(options) {
  return readFileSync(await clip(options));
}
