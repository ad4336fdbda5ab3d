// Waiting for a condition instead of for a time.

// What to show when a wait was in vain: functions that give text.
const witnesses = new Set();

export function addWitness(tell) {
  witnesses.add(tell);
  return () => witnesses.delete(tell);
}

export function testimony() {
  return [...witnesses].map((tell) => tell()).filter(Boolean).join('\n');
}

export class TimeoutError extends Error {}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The condition's first truthy value. `what` names it in the complaint, or is a function that does.
export async function waitFor(condition, what, { timeout = 60_000, every = 15 } = {}) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) {
      const name = typeof what === 'function' ? what() : what ?? condition;
      throw new TimeoutError(`waited ${timeout} ms in vain for ${name}\n${testimony()}`);
    }
    await pause(every);
  }
}

// The promise's value, or a complaint.
export function within(promise, what, timeout = 60_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new TimeoutError(`waited ${timeout} ms in vain for ${what}\n${testimony()}`)),
      timeout,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Random moments that can be had again: SEED=n.
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
