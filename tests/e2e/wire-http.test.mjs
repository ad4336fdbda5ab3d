// HTTP/1.1 on the wire (RFC 9110, RFC 9112): what servers are known to disagree
// about is refused, what is valid is served, and the answer always arrives.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Server } from '../support/server.mjs';
import { Conformance, Wire, handshake } from '../support/wire.mjs';

const HOST = 'Host: localhost\r\n';
const HELLO = 'conformance\n';
const cases = [];

// `answers`: statuses in order, or [status, body, pattern of the head]. `stays`:
// the connection serves another request afterwards; else the server ends it.
// 'maybe': a body that nobody wanted had come as a whole, or had not.
function add(name, sends, answers, stays = false) {
  cases.push({ name, sends: Buffer.from(sends, 'latin1'), answers: [].concat(answers), stays });
}
const good = (name, sends, ...answers) => cases.push({
  name, sends: Buffer.from(sends, 'latin1'), answers: answers.length ? answers : [{ status: 200, body: HELLO }], stays: true,
});
const get = (fields, target = '/') => `GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`;
const post = (fields, body) => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const chunked = (body) => post('Transfer-Encoding: chunked\r\n', body);
const echoed = (body) => ({ status: 200, body });

// --- the request line
good('a plain request', get(''));
good('an empty line before it', `\r\n${get('')}`);
good('a query', get('', '/?a=b?c=/d'));
good('an absolute target', get('', 'http://localhost/'));
good('an absolute target without a path', get('', 'http://localhost'));
good('an absolute target in capitals', get('', 'HTTP://LOCALHOST:80/'));
good('an absolute target with a query alone', get('', 'http://localhost?x'));
good('an absolute target wins over Host', 'GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
good('the longest target', get('', `/?${'a'.repeat(8 * 1024 - 2)}`));
good('OPTIONS of the server', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, { status: 404 });
for (const [name, line, status = 400] of [
  ['no version', 'GET /'],
  ['no target', 'GET HTTP/1.1'],
  ['an empty target', 'GET  HTTP/1.1'],
  ['two spaces before the version', 'GET /  HTTP/1.1'],
  ['a tab for a space', 'GET\t/ HTTP/1.1'],
  ['a tab before the version', 'GET /\tHTTP/1.1'],
  ['a space before the method', ' GET / HTTP/1.1'],
  ['a space behind the version', 'GET / HTTP/1.1 '],
  ['a word too many', 'GET / x HTTP/1.1'],
  ['a space in the target', 'GET /a b HTTP/1.1'],
  ['a lower-case method', 'get / HTTP/1.1'],
  ['a mixed method', 'Get / HTTP/1.1'],
  ['a method with a control byte', 'G\x01ET / HTTP/1.1'],
  ['a method with a bracket', 'GET( / HTTP/1.1'],
  ['a method with a colon', 'GET: / HTTP/1.1'],
  ['a number for a method', '123 / HTTP/1.1'],
  ['a lower-case version', 'GET / http/1.1'],
  ['another protocol', 'GET / ICAP/1.0'],
  ['HTTP without a slash', 'GET / HTTP1.1'],
  ['HTTP with a space', 'GET / HTTP /1.1'],
  ['HTTP/1', 'GET / HTTP/1'],
  ['HTTP/1.', 'GET / HTTP/1.'],
  ['HTTP/.1', 'GET / HTTP/.1'],
  ['HTTP/1.10', 'GET / HTTP/1.10'],
  ['HTTP/01.1', 'GET / HTTP/01.1'],
  ['HTTP/1,1', 'GET / HTTP/1,1'],
  ['HTTP/+1.1', 'GET / HTTP/+1.1'],
  ['HTTP/1.x', 'GET / HTTP/1.x'],
  ['HTTP/0.9', 'GET / HTTP/0.9', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2', 505],
  ['HTTP/2.0', 'GET / HTTP/2.0', 505],
  ['HTTP/9.9', 'GET / HTTP/9.9', 505],
  ['a NUL in the target', 'GET /a\0b HTTP/1.1'],
  ['a control byte in the target', 'GET /a\x1fb HTTP/1.1'],
  ['DEL in the target', 'GET /a\x7fb HTTP/1.1'],
  ['a byte over 127 in the target', 'GET /\xc3\xa9 HTTP/1.1'],
  ['a fragment', 'GET /a#b HTTP/1.1'],
  ['a relative target', 'GET a HTTP/1.1'],
  ['a query for a target', 'GET ?a HTTP/1.1'],
  ['another scheme', 'GET ftp://localhost/ HTTP/1.1'],
  ['a scheme alone', 'GET http:// HTTP/1.1'],
  ['a scheme without slashes', 'GET http:localhost HTTP/1.1'],
  ['a user in the target', 'GET http://a@localhost/ HTTP/1.1'],
  ['a bad port in the target', 'GET http://localhost:99999/ HTTP/1.1'],
  ['a star for GET', 'GET * HTTP/1.1'],
  ['a star and more', 'OPTIONS *x HTTP/1.1'],
  ['an authority for GET', 'GET localhost:80 HTTP/1.1'],
  ['CONNECT', 'CONNECT localhost:80 HTTP/1.1', 501],
  ['an unknown method', 'BREW / HTTP/1.1', 501],
  ['a method of others', 'PROPFIND / HTTP/1.1', 501],
  ['TRACE', 'TRACE / HTTP/1.1', 501],
  ['a very long method', `${'A'.repeat(20000)} / HTTP/1.1`, 501],
  ['a bare CR in the line', 'GET /\rx HTTP/1.1'],
  ['a bare CR behind the method', 'GET\r/ HTTP/1.1'],
  ['a bare LF in the line', 'GET /\nHost: x HTTP/1.1'],
  ['CR CR LF', 'GET / HTTP/1.1\r'],
  ['a target over the limit', `GET /${'a'.repeat(8 * 1024)} HTTP/1.1`, 414],
  ['a target far over the limit', `GET /${'a'.repeat(300_000)} HTTP/1.1`, 414],
]) add(`line: ${name}`, `${line}\r\n${HOST}\r\n`, status);
add('a bare LF behind the line', `GET / HTTP/1.1\n${HOST}\r\n`, 400);
add('two empty lines before it', `\r\n\r\n${get('')}`, 400);
add('a bare LF before it', `\n${get('')}`, 400);
add('a bare CR before it', `\r${get('')}`, 400);
add('HTTP/0.9', 'GET /\r\n', 400);
add('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505);
add('a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'.padEnd(517, '\x5a'), 400);
add('rubbish', '\x80\xff\xfe\x00\x01', 400);
add('a word glued before the method', `xGET / HTTP/1.1\r\n${HOST}\r\n`, 400);

// --- fields
good('a field without value', get('X-Empty:\r\n'));
good('white space around a value', get('X: \t a b \t \r\n'));
good('no white space before a value', get('X:a\r\n'));
good('bytes over 127 in a value', get('X: caf\xc3\xa9 \xff\r\n'));
good('a colon in a value', get('X: a:b: c\r\n'));
good('names in any case', 'GET / HTTP/1.1\r\nhOsT:\tlocalhost\r\nEMPTY:\r\n\r\n');
good('every character of a name', get("!#$%&'*+-.^_`|~09azAZ: x\r\n"));
good('64 fields', get(Array.from({ length: 63 }, (_, i) => `x-${i}: 1\r\n`).join('')));
add('65 fields', get(Array.from({ length: 64 }, (_, i) => `x-${i}: 1\r\n`).join('')), 431);
add('a thousand fields', get('a: b\r\n'.repeat(1000)), 431);
add('a field over the limit', get(`X: ${'a'.repeat(16 * 1024)}\r\n`), 431);
add('a name over the limit', get(`${'a'.repeat(20 * 1024)}: b\r\n`), 431);
add('a field far over the limit', get(`X: ${'a'.repeat(1 << 20)}\r\n`), 431);
for (const [name, field] of [
  ['a space before the colon', 'X : a'], ['a tab before the colon', 'X\t: a'], ['a space in the name', 'X Y: a'],
  ['no colon', 'X'], ['no name', ': a'], ['a space for a name', ' : a'],
  ['a leading space', ' X: a'], ['obs-fold with a space', 'X: a\r\n b'], ['obs-fold with a tab', 'X: a\r\n\tb'],
  ['obs-fold of nothing', 'X: a\r\n '], ['obs-fold of Content-Length', 'Content-Length:\r\n 5'],
  ['a NUL in a name', 'X\0: a'], ['a NUL in a value', 'X: a\0b'], ['a NUL behind a value', 'X: a\0'],
  ['a control byte in a value', 'X: a\x01b'], ['BEL in a value', 'X: \x07'], ['VT in a value', 'X: a\x0bb'],
  ['FF in a value', 'X: a\x0cb'],
  ['DEL in a value', 'X: a\x7f'], ['ESC in a value', 'X: \x1b[31m'], ['a byte over 127 in a name', 'X\xe9: a'],
  ['a bare CR in a value', 'X: a\rb'], ['a bare CR and a field', 'X: a\rTransfer-Encoding: chunked'],
  ['a bare LF in a value', 'X: a\nb'], ['a bare LF and a field', 'X: a\nContent-Length: 3'],
  ['CR CR LF', 'X: a\r'], ['a bare CR in a name', 'X\rY: a'], ['a bracket in a name', 'X(Y): a'],
  ['quotes in a name', '"X": a'],
  ['a slash in a name', 'X/Y: a'], ['a comma in a name', 'X,Y: a'], ['an at sign in a name', 'X@Y: a'],
  ['a bare CR before the end', '\rX: a'],
  ['braces in a name', 'X{}: a'], ['an equal sign in a name', 'X=Y: a'], ['a backslash in a name', 'X\\Y: a'],
]) add(`field: ${name}`, get(`${field}\r\n`), 400);
add('the head ends with LF LF', 'GET / HTTP/1.1\nHost: localhost\n\n', 400);
add('the head ends with CRLF LF', `GET / HTTP/1.1\r\n${HOST}\n`, 400);
add('the head ends with CRLF CR x', `GET / HTTP/1.1\r\n${HOST}\rx`, 400);
add('white space before the first field', `GET / HTTP/1.1\r\n ${HOST}\r\n`, 400);

for (const [name, lines] of [
  ['none', ''], ['two', 'Host: a\r\nHost: b\r\n'], ['two alike', 'Host: a\r\nHost: a\r\n'],
  ['two in other case', 'Host: a\r\nhost: a\r\n'],
  ['two in a list', 'Host: a, b\r\n'], ['empty', 'Host:\r\n'], ['a space', 'Host: a b\r\n'],
  ['a user', 'Host: u@a\r\n'],
  ['a path', 'Host: a/b\r\n'], ['a scheme', 'Host: http://a\r\n'], ['a bad port', 'Host: a:b\r\n'],
  ['a large port', 'Host: a:65536\r\n'],
  ['two ports', 'Host: a:1:2\r\n'], ['a negative port', 'Host: a:-1\r\n'], ['a query', 'Host: a?b\r\n'],
  ['a fragment', 'Host: a#b\r\n'],
  ['an open bracket', 'Host: [::1\r\n'], ['no address in brackets', 'Host: [x]\r\n'],
  ['more behind brackets', 'Host: [::1]x\r\n'],
  ['IPv6 without brackets', 'Host: ::1\r\n'], ['a port alone', 'Host: :80\r\n'], ['a bad escape', 'Host: a%zz\r\n'],
  ['a backslash', 'Host: a\\b\r\n'],
  ['a byte over 127', 'Host: \xe9\r\n'], ['quotes', 'Host: "a"\r\n'], ['behind a fold', 'Host:\r\n a\r\n'],
]) add(`Host: ${name}`, `GET / HTTP/1.1\r\n${lines}\r\n`, 400);
for (const host of ['a', 'a:80', 'a:', '127.0.0.1:1', '[::1]', '[::1]:80', 'a_b.example', 'a%2db', 'a.']) {
  good(`Host: ${host}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}
add('Host: two, with an absolute target', 'GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400);
add('Host: none, with an absolute target', 'GET http://a/ HTTP/1.1\r\n\r\n', 400);
add('Host: none, HTTP/1.0 may', 'GET / HTTP/1.0\r\n\r\n', 200);
add('Host: two, not in HTTP/1.0 either', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 400);

// --- bodies
good('a body', post('Content-Length: 5\r\n', 'hello'), echoed('hello'));
good('a body of nothing', post('Content-Length: 0\r\n', ''), echoed(''));
good('no body at all', post('', ''), echoed(''));
good('leading zeros of a length', post('Content-Length: 0005\r\n', 'hello'), echoed('hello'));
for (const value of ['-5', '+5', '0x5', '5x', 'x', '', '5 5', '5,5', '5, 5', '5;', '5.0', '1e1', '١', '18446744073709551616', '18446744073709551621',
  '9223372036854775808', '99999999999999999999999999', '-18446744073709551611', '"5"', '5\0', '5_0', '٥', '\x0b5', '5\x0c', '0 5', ',5', '5,']) {
  add(`Content-Length: ${JSON.stringify(value)}`, post(`Content-Length: ${value}\r\n`, 'hello'), 400);
}
add('two lengths that differ', post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello!'), 400);
add('two lengths alike', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'), 400);
add('two lengths, one empty', post('Content-Length: 5\r\nContent-Length:\r\n', 'hello'), 400);
add('a length with a space before the colon', post('Content-Length : 5\r\n', 'hello'), 400);
add('more than is taken, announced', post(`Content-Length: ${16 * 1024 * 1024 + 1}\r\n`, 'x'.repeat(100_000)), 413);
add('far more than is taken, announced', post('Content-Length: 9223372036854775807\r\n', 'x'), 413);
for (const fields of ['Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n', 'Transfer-Encoding: identity\r\nContent-Length: 5\r\n', 'Content-Length: 5\r\nTransfer-Encoding:\r\n']) {
  add(`both framings: ${JSON.stringify(fields)}`, post(fields, '0\r\n\r\n'), 400);
}
for (const [value, status] of [
  ['chunked, chunked', 400], ['chunked, identity', 400], ['chunked, gzip', 400], ['xchunked', 501],
  ['chunkedx', 501], ['gzip, chunked', 501],
  ['gzip', 501], ['identity', 501], ['identity, chunked', 501], ['"chunked"', 400], ['chunked;a=b', 400],
  ['chunked,', 400], [',chunked', 400], ['', 400],
  ['chunked\x0b', 400], ['\x0bchunked', 400], ['ch unked', 400], ['chunked\0', 400], ["'chunked'", 501],
  ['chunked x', 400], ['c\xe9', 400], ['x', 501],
]) add(`Transfer-Encoding: ${JSON.stringify(value)}`, post(`Transfer-Encoding: ${value}\r\n`, '0\r\n\r\n'), status);
add('Transfer-Encoding twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400);
add('Transfer-Encoding twice, one other', post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400);
add('Transfer-Encoding folded', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'), 400);
add('Transfer-Encoding with a space before the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'), 400);
add('Transfer-Encoding with an underscore is another field', post('Transfer_Encoding: chunked\r\n', ''), 200, true);
add('chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400);
good('chunked in any case', post('transfer-encoding: CHUNKED\r\n', '5\r\nhello\r\n0\r\n\r\n'), echoed('hello'));

good('chunks', chunked('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'), echoed('hello world'));
good('chunks of a byte', chunked(`${[...'hello'].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`), echoed('hello'));
good('no chunk', chunked('0\r\n\r\n'), echoed(''));
good('sizes in hex', chunked(`1a\r\n${'x'.repeat(26)}\r\n1A\r\n${'y'.repeat(26)}\r\n0\r\n\r\n`), echoed('x'.repeat(26) + 'y'.repeat(26)));
good('sizes with zeros before', chunked('0005\r\nhello\r\n000\r\n\r\n'), echoed('hello'));
good('chunk extensions', chunked('5;a\r\nhello\r\n5;a=b;c="d;\\"e"\r\nworld\r\n0;x=y\r\n\r\n'), echoed('helloworld'));
good('a trailer', chunked('5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n'), echoed('hello'));
good('a large chunk', chunked(`186a0\r\n${'z'.repeat(100_000)}\r\n0\r\n\r\n`), echoed('z'.repeat(100_000)));
for (const [name, body, status = 400] of [
  ['a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'], ['a size with +', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a size with -', '-5\r\nhello\r\n0\r\n\r\n'],
  ['a negative zero', '-0\r\n\r\n'], ['a size of nothing', '\r\nhello\r\n0\r\n\r\n'],
  ['a size of letters', 'xyz\r\nhello\r\n0\r\n\r\n'],
  ['a space before a size', ' 5\r\nhello\r\n0\r\n\r\n'], ['a space behind a size', '5 \r\nhello\r\n0\r\n\r\n'],
  ['a tab behind a size', '5\t\r\nhello\r\n0\r\n\r\n'],
  ['a size with an underscore', '0_5\r\nhello\r\n0\r\n\r\n'], ['a size with a comma', '5,\r\nhello\r\n0\r\n\r\n'],
  ['a size with a NUL', '5\0\r\nhello\r\n0\r\n\r\n'],
  ['a size with h', '5h\r\nhello\r\n0\r\n\r\n'], ['a size with a dot', '5.\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^64', '10000000000000000\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^64+5', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^32+5 is long', '100000005\r\nhello\r\n0\r\n\r\n', null],
  ['a size of 2^64-1', 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n', [400, 413]],
  ['a size of 2^63', '8000000000000000\r\nhello\r\n0\r\n\r\n', [400, 413]],
  ['a size of many digits', `${'0'.repeat(30)}5\r\nhello\r\n0\r\n\r\n`],
  ['a bare LF behind a size', '5\nhello\r\n0\r\n\r\n'], ['a bare CR behind a size', '5\rhello\r\n0\r\n\r\n'],
  ['CR CR LF behind a size', '5\r\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF behind a chunk', '5\r\nhello\n0\r\n\r\n'], ['a bare CR behind a chunk', '5\r\nhello\r0\r\n\r\n'],
  ['nothing behind a chunk', '5\r\nhello0\r\n\r\n'],
  ['two bytes that are not CRLF', '5\r\nhelloXX0\r\n\r\n'], ['LF CR behind a chunk', '5\r\nhello\n\r0\r\n\r\n'],
  ['a chunk too long', '5\r\nhello!\r\n0\r\n\r\n'], ['a chunk too short', '5\r\nhell\r\n0\r\n\r\n'],
  ['a bare LF behind the last', '5\r\nhello\r\n0\n\r\n'], ['a bare LF at the end', '5\r\nhello\r\n0\r\n\n'],
  ['a bare CR at the end', '5\r\nhello\r\n0\r\n\rx'],
  ['a bare LF in an extension', '5;a\nx\r\nhello\r\n0\r\n\r\n'],
  ['a bare CR in an extension', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
  ['a NUL in an extension', '5;a\0\r\nhello\r\n0\r\n\r\n'],
  ['an extension without name', '5;\r\nhello\r\n0\r\n\r\n'],
  ['an extension without value', '5;a=\r\nhello\r\n0\r\n\r\n'],
  ['an extension with an open quote', '5;a="b\r\nhello\r\n0\r\n\r\n'],
  ['a space before an extension', '5 ;a\r\nhello\r\n0\r\n\r\n'],
  ['a very long extension', `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ['a byte over 127 in an extension', '5;\xe9\r\nhello\r\n0\r\n\r\n'],
  ['a trailer with a bare LF', '0\r\nX: a\n\r\n'], ['a trailer with a bare CR', '0\r\nX: a\rb\r\n\r\n'],
  ['a folded trailer', '0\r\nX: a\r\n b\r\n\r\n'],
  ['a trailer with a space before the colon', '0\r\nX : a\r\n\r\n'], ['a trailer without a colon', '0\r\nX\r\n\r\n'],
  ['a trailer with a NUL', '0\r\nX: \0\r\n\r\n'],
  ['a request for a trailer', '0\r\nGET / HTTP/1.1\r\n\r\n'],
  ['Content-Length in a trailer', '0\r\nContent-Length: 5\r\n\r\n'],
  ['Transfer-Encoding in a trailer', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['Host in a trailer', '0\r\nHost: x\r\n\r\n'],
  ['65 trailers', `0\r\n${'X: 1\r\n'.repeat(65)}\r\n`, 431],
  ['a trailer over the limit', `0\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
]) if (status !== null) add(`chunks: ${name}`, chunked(body), [status].flat().length > 1 ? { oneOf: status } : status);

// --- what the connection does
good('many at once', get('').repeat(50), ...Array.from({ length: 50 }, () => ({ status: 200, body: HELLO })));
good('bodies and none in a row', post('Content-Length: 3\r\n', 'abc') + get('') + chunked('2\r\nde\r\n0\r\n\r\n') + get('', '/nothing') + get(''),
  echoed('abc'), { status: 200, body: HELLO }, echoed('de'), { status: 404 }, { status: 200, body: HELLO });
good('an empty line between two', `${get('')}\r\n${get('')}`, { status: 200 }, { status: 200 });
good('HEAD', `HEAD / HTTP/1.1\r\n${HOST}\r\n`, { status: 200, head: true, length: HELLO.length });
good('HEAD and more behind', `HEAD / HTTP/1.1\r\n${HOST}\r\n${get('')}`, { status: 200, head: true, length: HELLO.length }, { status: 200, body: HELLO });
good('HEAD of nothing', `HEAD /nothing HTTP/1.1\r\n${HOST}\r\n`, { status: 404, head: true });
add('HEAD and close', `HEAD / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`, { status: 200, head: true, field: /\r\nConnection: close\r\n/ });
add('a mistake behind a request', `${get('')}x\r\n\r\n${get('')}`, [200, 400]);
add('nothing is served behind a mistake', `${get('X : a\r\n')}${get('')}${get('')}`, 400);
add('a smuggled request behind both framings', `${post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nG')}${get('')}`, 400);
add('a body longer than its length is another request', `${post('Content-Length: 5\r\n', 'helloXYZ')}\r\n\r\n`, [200, 400]);
add('close', get('Connection: close\r\n'), { status: 200, field: /\r\nConnection: close\r\n/ });
add('close in a list', get('Connection: keep-alive, Close\r\n') + get(''), { status: 200, field: /\r\nConnection: close\r\n/ });
add('close in a second line', get('Connection: x\r\nConnection: close\r\n') + get(''), { status: 200 });
good('a word that has close in it', get('Connection: closed, not-close\r\n'));
add('HTTP/1.0 ends', 'GET / HTTP/1.0\r\n\r\n', { status: 200, body: HELLO, field: /\r\nConnection: close\r\n/ });
add('HTTP/1.0 and two at once', `GET / HTTP/1.0\r\n\r\n${get('')}`, { status: 200 });
good('HTTP/1.0 stays with keep-alive', 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', { status: 200, field: /\r\nConnection: keep-alive\r\n/i });
add('HTTP/1.0 with both words ends', 'GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n', { status: 200 });
add('HTTP/1.0 with a body', 'POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello', echoed('hello'));
good('HTTP/1.0 HEAD with keep-alive', `HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`, { status: 200, head: true, length: HELLO.length });
add('an unread body ends it', `POST /nothing HTTP/1.1\r\n${HOST}Content-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`, 404);
add('an unread body of chunks ends it', `POST /nothing HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, 404, 'maybe');

good('100-continue with the body at once', post('Expect: 100-continue\r\nContent-Length: 5\r\n', 'hello'), { status: 200, body: 'hello', mayContinue: true });
good('100-continue without a body', post('Expect: 100-continue\r\nContent-Length: 0\r\n', ''), echoed(''));
good('100-Continue in other case', post('Expect: 100-Continue\r\nContent-Length: 5\r\n', 'hello'), { status: 200, body: 'hello', mayContinue: true });
add('100-continue in HTTP/1.0 is nothing', 'POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello', echoed('hello'));
add('another expectation', post('Expect: 200-ok\r\nContent-Length: 5\r\n', 'hello'), 417);
add('a refusal instead of 100', `POST / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n`, 413);
add('a final answer instead of 100', `POST /nothing HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`, 404);

// --- upgrades
const upgrade = (fields, method = 'GET') => `${method} /ws HTTP/1.1\r\n${HOST}${fields}\r\n`;
const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const UP = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const V13 = 'Sec-WebSocket-Version: 13\r\n';
good('h2c is ignored', get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'));
good('h2c with a body is ignored', post('Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n', 'hello'), echoed('hello'));
good('h2c with chunks is ignored', post('Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'), echoed('hello'));
good('an upgrade elsewhere is ignored', get(UP + V13 + KEY));
for (const version of ['0', '7', '8', '12', '14', '99', '255']) {
  good(`WebSocket version ${version}`, upgrade(`${UP}${KEY}Sec-WebSocket-Version: ${version}\r\n`),
    { status: 426, field: /\r\nSec-WebSocket-Version: 13\r\n/ });
}
for (const [name, fields] of [
  ['no key', UP + V13], ['a short key', `${UP}${V13}Sec-WebSocket-Key: abcd\r\n`],
  ['an empty key', `${UP}${V13}Sec-WebSocket-Key:\r\n`],
  ['a long key', `${UP}${V13}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n`],
  ['a key that is no base64', `${UP}${V13}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n`],
  ['two keys', UP + V13 + KEY + KEY], ['no version', UP + KEY], ['two versions', UP + V13 + V13 + KEY],
  ['a version of words', `${UP}${KEY}Sec-WebSocket-Version: x\r\n`],
  ['a version of 256', `${UP}${KEY}Sec-WebSocket-Version: 256\r\n`],
  ['no Upgrade', `Connection: Upgrade\r\n${V13}${KEY}`],
  ['no Connection', `Upgrade: websocket\r\n${V13}${KEY}`],
  ['another Upgrade', `Connection: Upgrade\r\nUpgrade: websockets\r\n${V13}${KEY}`],
  ['another Connection', `Connection: keep-alive\r\nUpgrade: websocket\r\n${V13}${KEY}`],
]) good(`WebSocket: ${name}`, upgrade(fields), { status: 400 });
add('WebSocket: HTTP/1.0', `GET /ws HTTP/1.0\r\n${HOST}${UP}${V13}${KEY}\r\n`, 400);
add('WebSocket: with a body', upgrade(`${UP}${V13}${KEY}Content-Length: 5\r\n`) + 'hello', 400, 'maybe');
add('WebSocket: with chunks', upgrade(`${UP}${V13}${KEY}Transfer-Encoding: chunked\r\n`) + '0\r\n\r\n', 400, 'maybe');
good('WebSocket: POST', upgrade(UP + V13 + KEY, 'POST'), { status: 405 });
good('WebSocket: HEAD', upgrade(UP + V13 + KEY, 'HEAD'), { status: 405, head: true });
for (const [name, fields] of [
  ['in lists', `Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n${V13}${KEY}`],
  ['in other case', `connection: UPGRADE\r\nupgrade: WebSocket\r\n${V13}${KEY}`],
  ['in several lines', `Connection: x\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: websocket\r\n${V13}${KEY}`],
  ['with an empty body', `${UP}${V13}${KEY}Content-Length: 0\r\n`],
  ['with a protocol nobody asked us for', `${UP}${V13}${KEY}Sec-WebSocket-Protocol: chat\r\n`],
]) cases.push({ name: `WebSocket: ${name}`, sends: Buffer.from(`${upgrade(fields)}\x88\x80\x00\x00\x00\x00`, 'latin1'), answers: [{ status: 101, behind: '\x88\x00' }], stays: false });

// Reads the answers out of what came: [{ status, head, body }].
function parse(bytes, wanted) {
  const answers = [];
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end < 0) return { answers, rest: bytes.subarray(at) };
    const head = bytes.toString('latin1', at, end + 2);
    const status = Number(/^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/.exec(head)?.[1]);
    const want = wanted[answers.filter((one) => one.status !== 100).length];
    const length = Number(/\r\nContent-Length: (\d+)\r\n/.exec(head)?.[1] ?? 0);
    const size = want?.head || status < 200 ? 0 : length;
    if (bytes.length < end + 4 + size) return { answers, rest: bytes.subarray(at) };
    answers.push({ status, head, length, body: bytes.toString('latin1', end + 4, end + 4 + size) });
    at = end + 4 + size;
    if (status === 101) break;
  }
  return { answers, rest: bytes.subarray(at) };
}

function judge(got, want) {
  const wish = typeof want === 'number' ? { status: want } : want;
  if (wish.oneOf) assert.ok(wish.oneOf.includes(got.status), `${got.status}`);
  else assert.equal(got.status, wish.status);
  assert.equal((got.head.match(/\r\nDate: /g) ?? []).length, 1, 'one Date');
  assert.equal((got.head.match(/\r\nContent-Length: /g) ?? []).length, got.status === 101 ? 0 : 1, 'one Content-Length');
  if (wish.body !== undefined) assert.equal(got.body, wish.body);
  if (wish.length !== undefined) assert.equal(got.length, wish.length);
  if (wish.field) assert.match(got.head, wish.field);
}

describe('HTTP on the wire', () => {
  let server;
  before(async () => {
    server = await Conformance.start();
  });
  after(() => server.stop());

  async function play({ sends, answers, stays }, step) {
    const wire = await Wire.open(server.port);
    try {
      await wire.send(sends, step);
      const wanted = stays ? [...answers, { status: 200, body: HELLO }] : [...answers];
      if (stays) await wire.send(get('Connection: close\r\n'), step);
      assert.equal(await wire.untilEnd(), 'fin');
      const { answers: all, rest } = parse(wire.bytes, wanted);
      if (stays === 'maybe' && all.length === answers.length) wanted.pop();
      const got = all.filter((one, i) => one.status !== 100 || !wanted[i]?.mayContinue);
      assert.deepEqual(got.map((one) => one.status), wanted.map((one) => (one.oneOf ? got[0]?.status : one.status ?? one)));
      got.forEach((one, i) => judge(one, wanted[i]));
      assert.equal(rest.toString('latin1'), wanted.at(-1).behind ?? '');
      const last = got.at(-1);
      if (last.status !== 101) assert.match(last.head, /\r\nConnection: (upgrade, )?close\r\n/, 'says that it closes');
    } finally {
      wire.close();
    }
  }

  const ways = [
    ['in one go', () => undefined],
    ['byte by byte', (size) => (size < 1500 ? 1 : 1499)],
    ['chopped', (size) => (size < 4000 ? [2, 5, 1, 11, 3] : [1, 4099, 13])],
  ];
  for (const [way, step] of ways) {
    it(`${cases.length} cases ${way}`, async () => {
      const wrong = [];
      const queue = [...cases];
      const worker = async () => {
        for (let one = queue.shift(); one; one = queue.shift()) {
          await play(one, step(one.sends.length)).catch((error) => wrong.push(`${one.name}: ${error.message}`));
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      assert.deepEqual(wrong, []);
    });
  }

  it('lets whoever is refused read why, however much is still on its way', async () => {
    const flood = 'X'.repeat(4 << 20);
    for (const [sends, status] of [[`GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${flood}`, 400],
    [`\0${flood}`, 400], [`GET /${flood} HTTP/1.1\r\n`, 414],
      [post('Content-Length: 90000000\r\n', flood), 413],
      [chunked(`1000000\r\n${flood}${flood}${flood}${flood}\r\n1\r\nx\r\n0\r\n\r\n`), 413],
      [`POST /nothing HTTP/1.1\r\n${HOST}Content-Length: 4194304\r\n\r\n${flood}`, 404],
      [`PUT /ws HTTP/1.1\r\n${HOST}Content-Length: 4194304\r\n\r\n${flood}`, 405]]) {
      const wire = await Wire.open(server.port);
      await wire.send(sends);
      assert.equal(await wire.untilEnd(), 'fin');
      assert.equal(parse(wire.bytes, []).answers[0].status, status);
      wire.close();
    }
  });

  it('lets whoever sends all of a long body before it reads get to the answer', async () => {
    const size = 64 << 20;
    const wire = await Wire.open(server.port);
    wire.socket.pause();
    await wire.send(`PUT /nothing HTTP/1.1\r\n${HOST}Content-Length: ${size}\r\n\r\n`);
    for (let sent = 0; sent < size && wire.end === undefined; sent += 1 << 20) {
      await new Promise((resolve) => wire.socket.write(Buffer.alloc(1 << 20), resolve));
    }
    wire.socket.resume();
    assert.equal(await wire.untilEnd(), 'fin');
    assert.deepEqual(parse(wire.bytes, []).answers.map((one) => one.status), [404]);
    wire.close();
  });

  it('invites a body exactly once, and only when it will read it', async () => {
    const wire = await Wire.open(server.port);
    await wire.send(post('Expect: 100-continue\r\nContent-Length: 5\r\n', ''));
    await wire.until(() => wire.bytes.includes('\r\n\r\n'), 'the invitation');
    assert.equal(wire.bytes.toString('latin1'), 'HTTP/1.1 100 Continue\r\n\r\n');
    await wire.send('hello');
    await wire.send(get('Connection: close\r\n'));
    assert.equal(await wire.untilEnd(), 'fin');
    const { answers } = parse(wire.bytes, []);
    assert.deepEqual(answers.map((one) => one.status), [100, 200, 200]);
    assert.equal(answers[1].body, 'hello');
    wire.close();
  });

  it('answers who has ended its side already', async () => {
    for (const [sends, wanted] of [[get(''), [200]], [get('') + get(''), [200, 200]],
    [post('Content-Length: 5\r\n', 'hello'), [200]],
      [post('Content-Length: 5\r\n', 'hel'), []], ['GET / HT', []], ['', []], [get('') + 'GET', [200]],
      [chunked('5\r\nhello\r\n'), []]]) {
      const wire = await Wire.open(server.port);
      wire.socket.end(Buffer.from(sends, 'latin1'));
      assert.equal(await wire.untilEnd(), 'fin');
      assert.deepEqual(parse(wire.bytes, []).answers.map((one) => one.status), wanted, JSON.stringify(sends));
      wire.close();
    }
  });

  it('stays for a thousand requests', async () => {
    const wire = await Wire.open(server.port);
    await wire.send(get('').repeat(500) + post('Content-Length: 3\r\n', 'abc').repeat(499) + get('Connection: close\r\n'));
    assert.equal(await wire.untilEnd(), 'fin');
    assert.equal(parse(wire.bytes, []).answers.filter((one) => one.status === 200).length, 1000);
    wire.close();
  });

  it('speaks WebSocket behind requests on the same connection', async () => {
    const wire = await Wire.open(server.port);
    await wire.send(`${get('')}${handshake()}\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0`);
    assert.equal(await wire.untilEnd(), 'fin');
    const { answers, rest } = parse(wire.bytes, []);
    assert.deepEqual(answers.map((one) => one.status), [200, 101]);
    assert.equal(rest.toString('latin1'), '\x81\x02hi\x88\x00');
    wire.close();
  });

  // Of one binary with the echoes, but who knows what is in between.
  it('is refused by the real server as well', async () => {
    const real = await Server.start();
    try {
      const wrong = [];
      const refused = cases.filter((one) => one.stays === false && one.answers.length === 1
        && [400, 414, 417, 431, 505].includes(one.answers[0]) && !/^(chunks|WebSocket): /.test(one.name));
      assert.ok(refused.length > 150);
      for (const one of refused) {
        const wire = await Wire.open(real.port);
        await wire.send(one.sends);
        const end = await wire.untilEnd();
        const got = parse(wire.bytes, []).answers.map((answer) => answer.status);
        if (end !== 'fin' || got.length !== 1 || got[0] !== one.answers[0]) wrong.push(`${one.name}: ${end} ${got}`);
        wire.close();
      }
      assert.deepEqual(wrong, []);
    } finally {
      await real.stop();
    }
  });
});
