// What RFC 6455 asks of a server, case by case: framing, fragmentation, UTF-8,
// closing. Each case is sent in one go, byte by byte, and chopped at odd places.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Conformance, OP, Peer, Wire, closeFrame, frame, handshake } from '../support/wire.mjs';

const { text, binary, more, ping, pong, close } = OP;
const part = { fin: false };
const echo = (op, payload = '') => ({ op, payload });
const cases = [];

// `sends`: frames; `hears`: frames; `code`: of the server's Close, 'bye' when the
// connection is well and is then closed by us, null when it has none.
function add(name, sends, hears, code = 'bye') {
  cases.push({ name, sends: Buffer.concat(sends), hears, code });
}

for (const [kind, op, byte] of [['text', text, '*'], ['binary', binary, '\xfe']]) {
  for (const size of [0, 1, 125, 126, 127, 128, 65535, 65536]) {
    const payload = Buffer.alloc(size, byte, 'latin1');
    add(`a ${kind} of ${size} bytes comes back`, [frame(op, payload)], [echo(op, payload)]);
  }
}

const ODD = Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]);
for (const payload of [Buffer.alloc(0), Buffer.from('Hello, world!'), ODD, Buffer.alloc(125, 0xfe)]) {
  add(`a Ping of ${payload.length} bytes has its Pong`, [frame(ping, payload)], [echo(pong, payload)]);
}
for (const op of [ping, pong]) {
  add(`control frame ${op} of 126 bytes`, [frame(op, Buffer.alloc(126, 0xfe))], [], 1002);
  add(`control frame ${op} with a long length`, [frame(op, 'abc', { form: 2 })], [], 1002);
  add(`control frame ${op} with a very long length`, [frame(op, 'abc', { form: 8 })], [], 1002);
  add(`fragmented control frame ${op}`, [frame(op, 'a', part), frame(op, 'b')], [], 1002);
  add(`control frame ${op} continued`, [frame(op, 'a', part), frame(more, 'b')], [], 1002);
}
add('a Close of 126 bytes', [closeFrame(1000, 'x'.repeat(124))], [], 1002);
add('a Close without FIN', [closeFrame(1000, '', part)], [], 1002);
add('an unasked Pong means nothing', [frame(pong)], []);
add('an unasked Pong with payload means nothing', [frame(pong, 'unsolicited')], []);
add('a Ping behind an unasked Pong', [frame(pong, 'no'), frame(ping, 'yes')], [echo(pong, 'yes')]);
const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
add('ten Pings have ten Pongs in order', ten.map((p) => frame(ping, p)), ten.map((p) => echo(pong, p)));

for (let rsv = 1; rsv < 8; rsv++) {
  for (const op of [text, binary, ping, pong]) {
    add(`RSV ${rsv} on opcode ${op}`, [frame(text, 'Hi'), frame(op, 'Hi', { rsv }), frame(ping)],
      [echo(text, 'Hi')], 1002);
  }
  add(`RSV ${rsv} on a Close`, [closeFrame(1000, '', { rsv })], [], 1002);
  add(`RSV ${rsv} on a continuation`, [frame(text, 'a', part), frame(more, 'b', { rsv })], [], 1002);
}
for (const op of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  add(`reserved opcode ${op}`, [frame(op)], [], 1002);
  add(`reserved opcode ${op} with payload`, [frame(op, 'reserved')], [], 1002);
  add(`reserved opcode ${op} behind a text`, [frame(text, 'Hi'), frame(op, 'x'), frame(ping)],
    [echo(text, 'Hi')], 1002);
  add(`reserved opcode ${op} within a message`, [frame(text, 'Hi', part), frame(op), frame(more)], [], 1002);
}
for (const op of [text, binary, ping, close]) {
  add(`opcode ${op} without a mask`, [frame(op, op === close ? '\x03\xe8' : 'x', { masked: false })], [], 1002);
}
add('a short length in two bytes', [frame(text, 'abc', { form: 2 })], [], 1002);
add('a short length in eight bytes', [frame(text, 'abc', { form: 8 })], [], 1002);
add('a middling length in eight bytes', [frame(binary, Buffer.alloc(300), { form: 8 })], [], 1002);
add('a length with its top bit', [Buffer.from('82ff80000000000000010000000000', 'hex')], [], 1002);
add('a length over the limit', [Buffer.from('82ff00000000010000010000000000', 'hex')], [], 1009);
add('a length of 2^63-1', [Buffer.from('82ff7fffffffffffffff0000000000', 'hex')], [], 1009);

add('a text in two fragments', [frame(text, 'frag1', part), frame(more, 'frag2')], [echo(text, 'frag1frag2')]);
add('a Ping between two fragments',
  [frame(text, 'a', part), frame(ping, 'p'), frame(more, 'b')], [echo(pong, 'p'), echo(text, 'ab')]);
add('a Pong between two fragments',
  [frame(text, 'a', part), frame(pong, 'p'), frame(more, 'b')], [echo(text, 'ab')]);
for (const fin of [true, false]) {
  add(`a continuation of nothing, FIN ${fin}`, [frame(more, 'x', { fin }), frame(text, 'y')], [], 1002);
  add(`a continuation behind a message, FIN ${fin}`,
    [frame(text, 'a', part), frame(more, 'b'), frame(more, 'c', { fin }), frame(text, 'd')],
    [echo(text, 'ab')], 1002);
  add(`empty continuation of nothing, FIN ${fin}`, [frame(more, '', { fin })], [], 1002);
  for (const op of [text, binary]) {
    add(`a new message ${op} within another, FIN ${fin}`, [frame(text, 'a', part), frame(op, 'b', { fin })], [], 1002);
  }
}
add('five fragments with two Pings between', [
  frame(text, 'f1', part), frame(more, 'f2', part), frame(ping, 'p1'), frame(more, 'f3', part),
  frame(more, 'f4', part), frame(ping, 'p2'), frame(more, 'f5'),
], [echo(pong, 'p1'), echo(pong, 'p2'), echo(text, 'f1f2f3f4f5')]);
add('three empty fragments are an empty text',
  [frame(text, '', part), frame(more, '', part), frame(more)], [echo(text)]);
add('empty fragments around a middle',
  [frame(text, '', part), frame(more, 'middle', part), frame(more)], [echo(text, 'middle')]);

// --- UTF-8
const hex = (digits) => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const VALID = [
  '', '68 65 6c 6c 6f 24 c2 a2 e2 82 ac f0 a4 ad a2', 'ce ba e1 bd b9 cf 83 ce bc ce b5', '00', '7f', 'c2 80', 'df bf',
  'e0 a0 80', 'ef bf bf', 'ef bf be', 'f0 90 80 80', 'f4 8f bf bf', 'ed 9f bf', 'ee 80 80', 'ef bf bd', 'ef bb bf',
  'f0 9f bf be', 'f0 9f bf bf', 'f3 bf bf bf', 'ef b7 90', 'f1 8f bf be',
];
const INVALID = [
  '80', 'bf', '80 bf', '80 bf 80 bf 80 bf', 'c0 20', 'e0 20', 'f0 20', 'f8 20', 'fc 20', 'c0', 'e0 80', 'f0 80 80', 'f8 88 80 80 80',
  'f8 80 80 80', 'fc 84 80 80 80 80', 'df', 'ef bf', 'f7 bf bf', 'f7 bf bf bf', 'fe', 'ff', 'fe fe ff ff', 'c0 af', 'e0 80 af', 'f0 80 80 af',
  'f8 80 80 80 af', 'fc 80 80 80 80 af', 'c1 bf', 'e0 9f bf', 'f0 8f bf bf', 'f8 87 bf bf bf', 'c0 80', 'e0 80 80', 'f0 80 80 80',
  'ed a0 80', 'ed ad bf', 'ed ae 80', 'ed af bf', 'ed b0 80', 'ed be 80', 'ed bf bf', 'ed a0 80 ed b0 80', 'ed af bf ed bf bf',
  'f4 90 80 80', 'f5 80 80 80', 'fb bf bf bf bf', 'ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64', 'c2', 'e2 82', 'f0 90 80',
];
for (const digits of VALID) {
  const payload = hex(digits);
  add(`valid UTF-8 <${digits}>`, [frame(text, payload)], [echo(text, payload)]);
  const bytes = [...payload].map((byte) => Buffer.from([byte]));
  if (bytes.length > 1) {
    add(`valid UTF-8 <${digits}> in fragments of a byte`,
      bytes.map((b, i) => frame(i === 0 ? text : more, b, { fin: i === bytes.length - 1 })), [echo(text, payload)]);
  }
}
for (const digits of INVALID) {
  const payload = hex(digits);
  add(`not UTF-8 <${digits}>`, [frame(text, payload), frame(ping)], [], 1007);
  const bytes = [...payload].map((byte) => Buffer.from([byte]));
  add(`not UTF-8 <${digits}> in fragments`,
    [...bytes.map((b, i) => frame(i === 0 ? text : more, b, part)), frame(more)], [], 1007);
  add(`binary <${digits}> may be anything`, [frame(binary, payload)], [echo(binary, payload)]);
}

// --- closing
add('a Close is answered with its code', [closeFrame(1000)], [], 1000);
add('a Close without a code is answered without', [closeFrame()], [], null);
add('a Close of one byte', [frame(close, 'a')], [], 1002);
add('two Closes are answered once', [closeFrame(1000), closeFrame(1000)], [], 1000);
add('nothing counts behind a Close',
  [closeFrame(1000), frame(ping, 'x'), frame(text, 'y'), frame(3, 'z')], [], 1000);
add('a Close within a message', [frame(text, 'a', part), closeFrame(1000), frame(more, 'b')], [], 1000);
add('256 KiB, a Close, a Ping', [frame(text, Buffer.alloc(262144, 'B')), closeFrame(1000), frame(ping)],
  [echo(text, Buffer.alloc(262144, 'B'))], 1000);
add('a reason', [closeFrame(1000, 'Hello World!')], [], 1000);
add('the longest reason', [closeFrame(1000, '*'.repeat(123))], [], 1000);
add('a reason that is not UTF-8',
  [closeFrame(1000, hex('ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65'))], [], 1007);
add('a reason cut inside a character', [closeFrame(1000, hex('e2 82'))], [], 1007);
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
  add(`close code ${code}`, [closeFrame(code)], [], code);
}
for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
  add(`close code ${code} may not be sent`, [closeFrame(code)], [], 1002);
  add(`close code ${code} with a reason may not be sent`, [closeFrame(code, 'why')], [], 1002);
}

describe('frames on the wire', { concurrency: 8 }, () => {
  let server;
  before(async () => {
    server = await Conformance.start();
  });
  after(() => server.stop());

  async function play({ sends, hears, code }, step) {
    const peer = await Peer.open(server.port);
    try {
      await peer.wire.send(sends, step);
      for (const { op, payload } of hears) await peer.expect(op, payload);
      if (code === 'bye') await peer.wire.send(closeFrame(1000), step);
      await peer.expectClose(code === 'bye' ? 1000 : code);
    } finally {
      peer.close();
    }
  }

  const ways = [
    ['in one go', () => undefined],
    ['byte by byte', (size) => (size < 600 ? 1 : 997)],
    ['chopped', (size) => (size < 2000 ? [3, 1, 2, 5, 7] : [1, 13, 4099, 3])],
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

  // What has come of a message is judged at once, not when the rest is there.
  const sick = [...hex('ce ba e1 bd b9 cf 83 ce bc ce b5')];
  const fast = [
    ['in the middle of a frame', [frame(text, [...sick, 0xf4, 0x90, ...Buffer.alloc(20, 0x80)]).subarray(0, 6 + sick.length + 2)]],
    ['at the octet that breaks it', [frame(text, [...sick, 0xf4, 0x90, 0x80, 0x80]).subarray(0, 6 + sick.length + 2)]],
    ['a surrogate', [frame(text, [...sick, 0xed, 0xa0, 0x80]).subarray(0, 6 + sick.length + 2)]],
    ['an overlong form', [frame(text, [...sick, 0xe0, 0x9f, 0xbf]).subarray(0, 6 + sick.length + 2)]],
    ['a byte that never stands anywhere', [frame(text, [0xff, 0x61]).subarray(0, 7)]],
    ['in an unfinished fragment', [frame(text, sick, part), frame(more, [0xf4, 0x90, 0x80, 0x80], part)]],
    ['across fragments', [frame(text, [...sick, 0xf4], part), frame(more, [0x90], part)]],
    ['an incomplete end, at the last byte', [frame(text, [...sick, 0xe2, 0x82])]],
    ['a reserved opcode, at its first byte', [Buffer.from([0x83])], 1002],
    ['RSV, at its first byte', [Buffer.from([0xc1])], 1002],
    ['no mask, at its second byte', [Buffer.from([0x81, 0x05])], 1002],
    ['a long control frame, at its second byte', [Buffer.from([0x89, 0xfe])], 1002],
    ['a fragmented Ping, at its first byte', [Buffer.from([0x09])], 1002],
    ['a lone continuation, at its first byte', [Buffer.from([0x80])], 1002],
    ['too long, at its head', [hex('82 ff 00 00 00 00 01 00 00 01 11 22 33 44')], 1009],
    ['too long in sum, at the head', [frame(binary, 'a', part), hex('80 ff 00 00 00 00 01 00 00 00 11 22 33 44')], 1009],
  ];
  for (const [name, sends, code = 1007] of fast) {
    it(`fails fast: ${name}`, async () => {
      for (const step of [undefined, 1]) {
        const peer = await Peer.open(server.port);
        await peer.wire.send(Buffer.concat(sends), step);
        await peer.expectClose(code);
        peer.close();
      }
    });
  }

  it('takes a message before its end is known to be good', async () => {
    const peer = await Peer.open(server.port);
    const whole = frame(text, hex('ce ba e1 bd b9'));
    await peer.wire.send(whole.subarray(0, whole.length - 1));
    await peer.wire.send(whole.subarray(whole.length - 1));
    await peer.expect(text, hex('ce ba e1 bd b9'));
    peer.close();
  });

  it('hears frames that came along with the handshake', async () => {
    const wire = await Wire.open(server.port);
    await wire.send(Buffer.concat([Buffer.from(handshake()), frame(text, 'early'), closeFrame(4321, 'bye')]));
    assert.equal(await wire.untilEnd(), 'fin');
    const all = wire.bytes;
    const behind = all.subarray(all.indexOf('\r\n\r\n') + 4);
    assert.equal(behind.toString('latin1'), '\x81\x05early\x88\x02\x10\xe1');
    wire.close();
  });

  it('lets a client that shouts on after its mistake read the Close', async () => {
    const peer = await Peer.open(server.port);
    await peer.wire.send(Buffer.concat([frame(3), Buffer.alloc(4 << 20, 0x41)]));
    await peer.expectClose(1002);
    peer.close();
  });
});
