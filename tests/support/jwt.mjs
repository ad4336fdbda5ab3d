// Tokens, good and bad, made here and not by the program under test.
import { createHmac, createSign } from 'node:crypto';

// The server's key, given to it in its environment.
export const secret = 'a secret that only the tests and their server know, 0123456789abcdef';
export const withSecret = { REELAY_JWT_SECRET: secret };

const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export const now = () => Math.floor(Date.now() / 1000);

export function mint(claims, { key = secret, header = {} } = {}) {
  const all = { alg: 'HS256', typ: 'JWT', ...header };
  const text = `${encode(all)}.${encode({ sub: 'alice', exp: now() + 3600, ...claims })}`;
  const digest = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[all.alg] ?? 'sha256';
  return `${text}.${createHmac(digest, key).update(text).digest('base64url')}`;
}

// Header and claims as they stand, also what no library would write.
export function mintRaw(header, claims, { key = secret, digest = 'sha256' } = {}) {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac(digest, key).update(text).digest('base64url')}`;
}

export function mintNone(claims) {
  return `${encode({ alg: 'none', typ: 'JWT' })}.${encode({ sub: 'alice', exp: now() + 3600, ...claims })}.`;
}

// The same bytes in another spelling: the last digit of base64url has bits to spare.
export function respell(token) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + digits[digits.indexOf(token.at(-1)) ^ 1];
}

export function mintRs256(claims, privateKey) {
  const text = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode({ sub: 'alice', exp: now() + 3600, ...claims })}`;
  return `${text}.${createSign('sha256').update(text).sign(privateKey).toString('base64url')}`;
}
