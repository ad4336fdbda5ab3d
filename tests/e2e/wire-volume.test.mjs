// Much and long over a WebSocket: messages up to 16 MiB, 65,536 fragments, and
// permessage-deflate (RFC 7692) with each set of parameters.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';

import { Conformance, OP, Peer, Wire, closeFrame, frame, handshake } from '../support/wire.mjs';

const { text, binary, more, ping, pong } = OP;
const KIB = 1024;
const MIB = 1024 * KIB;
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

// Something that compresses about as well as JSON does.
function prose(size) {
  const words = Buffer.from('{"status":"processing","stage":"converting","progress":0.4217,"π":"≈ 22/7"} ');
  const data = Buffer.alloc(size, words);
  for (let i = 0; i < size; i += 97) if (data[i] < 0x80 && data[i] > 0x1f) data[i] = 0x61 + (i % 26);
  let end = size; // never in the middle of a character
  while (end > 0 && end > size - 4 && (data[end - 1] & 0x80) !== 0) data[--end] = 0x2e;
  return data;
}

function fragments(op, data, size, rsv = 0) {
  const frames = [];
  for (let at = 0; at === 0 || at < data.length; at += size) {
    frames.push(frame(at === 0 ? op : more, data.subarray(at, at + size),
      { fin: at + size >= data.length, rsv: at === 0 ? rsv : 0 }));
  }
  return frames;
}

function squeeze(data, options = {}) {
  const packed = zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH, ...options });
  assert.ok(packed.subarray(-4).equals(TAIL));
  return packed.subarray(0, -4);
}

function unsqueeze(packed, windowBits = 15) {
  return zlib.inflateRawSync(Buffer.concat([packed, TAIL]),
    { finishFlush: zlib.constants.Z_SYNC_FLUSH, windowBits });
}

describe('volume on the wire', () => {
  let server;
  before(async () => {
    server = await Conformance.start();
  });
  after(() => server.stop());

  async function withPeer(options, use) {
    const peer = await Peer.open(server.port, options);
    try {
      await use(peer);
      await peer.wire.send(closeFrame(1000));
      await peer.expectClose(1000);
    } finally {
      peer.close();
    }
  }

  for (const op of [text, binary]) {
    const kind = op === text ? 'text' : 'binary';
    it(`echoes a ${kind} of 64 KiB to 16 MiB`, () => withPeer({}, async (peer) => {
      for (const size of [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]) {
        const data = prose(size);
        await peer.wire.send(frame(op, data));
        await peer.expect(op, data);
      }
    }));

    it(`echoes a ${kind} of 4 MiB in fragments of 64 bytes to 4 MiB`, () => withPeer({}, async (peer) => {
      const data = prose(4 * MIB);
      for (const size of [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]) {
        await peer.wire.send(Buffer.concat(fragments(op, data, size)));
        await peer.expect(op, data);
      }
    }));

    it(`echoes a ${kind} of 1 MiB chopped into writes of 64 bytes to 2 KiB`, () => withPeer({}, async (peer) => {
      const data = prose(MIB);
      for (const step of [64, 128, 256, 512, 1024, 2048]) {
        await peer.wire.send(frame(op, data), step);
        await peer.expect(op, data);
      }
    }));

    it(`echoes a thousand ${kind} messages of each size`, () => withPeer({}, async (peer) => {
      for (const size of [0, 16, 64, 256, KIB, 4 * KIB]) {
        const data = prose(size);
        await peer.wire.send(Buffer.concat(Array.from({ length: 1000 }, () => frame(op, data))));
        for (let i = 0; i < 1000; i++) await peer.expect(op, data);
      }
    }));
  }

  it('echoes 64 KiB in fragments of 1300 bytes', () => withPeer({}, async (peer) => {
    const data = Buffer.alloc(65536, '*');
    await peer.wire.send(Buffer.concat(fragments(text, data, 1300)));
    await peer.expect(text, data);
  }));

  it('refuses a byte over 16 MiB with 1009, whole or in fragments', async () => {
    const data = Buffer.alloc(16 * MIB + 1, 'x');
    for (const sends of [[frame(binary, data)], fragments(binary, data, MIB)]) {
      const peer = await Peer.open(server.port);
      await peer.wire.send(Buffer.concat(sends));
      await peer.expectClose(1009);
      peer.close();
    }
  });

  // What is offered, what of it comes back, the windows that follow from it.
  const BOTH = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
  const PARAMETERS = [
    ['permessage-deflate', BOTH],
    ['permessage-deflate; client_no_context_takeover; client_max_window_bits', `${BOTH}; client_max_window_bits=15`],
    ['permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9',
      `${BOTH}; server_max_window_bits=9; client_max_window_bits=15`, 9],
    ['permessage-deflate; client_max_window_bits; server_max_window_bits=15',
      `${BOTH}; server_max_window_bits=15; client_max_window_bits=15`],
    ['permessage-deflate; client_max_window_bits; server_max_window_bits=10',
      `${BOTH}; server_max_window_bits=10; client_max_window_bits=15`, 10],
    ['permessage-deflate; client_max_window_bits=9; server_no_context_takeover; server_max_window_bits=12',
      `${BOTH}; server_max_window_bits=12; client_max_window_bits=9`, 12, 9],
    ['permessage-deflate; server_no_context_takeover; client_max_window_bits=15; server_max_window_bits=8, '
      + 'permessage-deflate; client_max_window_bits', `${BOTH}; client_max_window_bits=15`],
  ];
  for (const [offer, answer, serverBits = 15, clientBits = 15] of PARAMETERS) {
    it(`compresses as agreed on: ${offer}`, () => withPeer({ extensions: offer }, async (peer) => {
      assert.equal(/^Sec-WebSocket-Extensions: (.*)\r$/m.exec(peer.head)?.[1], answer);
      const count = serverBits === 15 && clientBits === 15 && answer === BOTH ? 1000 : 150;
      for (let i = 0; i < count; i++) {
        const data = prose(Math.round(12 * KIB * (i / count) ** 2) + i % 3);
        const packed = squeeze(data, { windowBits: clientBits });
        const op = i % 2 ? binary : text;
        await peer.wire.send(i % 3 === 0 ? frame(op, packed, { rsv: 4 })
          : Buffer.concat(fragments(op, packed, i % 3 === 1 ? 256 : 31, 4)));
        const got = await peer.next();
        assert.equal(got.op, op);
        assert.equal(got.fin, true);
        assert.ok((got.rsv === 4 ? unsqueeze(got.payload, serverBits) : got.payload).equals(data), `message ${i} differs`);
      }
    }));
  }

  for (const size of [128 * KIB, 16 * MIB]) {
    it(`echoes ${size / KIB} KiB compressed, also of noise`, () => withPeer({ extensions: 'permessage-deflate' }, async (peer) => {
      const noise = Buffer.alloc(size);
      for (let i = 0, state = 1; i < size; i += 4) noise.writeUInt32LE(state = (Math.imul(state, 1664525) + 1013904223) >>> 0, i);
      for (const data of [prose(size), noise, Buffer.alloc(size)]) {
        const packed = squeeze(data, { level: 1 });
        await peer.wire.send(Buffer.concat(fragments(binary, packed, 60_000, 4)));
        const got = await peer.next();
        assert.equal(got.rsv, 4);
        assert.ok(unsqueeze(got.payload).equals(data));
      }
    }));
  }

  const level0 = (data) => squeeze(data, { level: 0 });
  const hello = Buffer.from('Hello');
  const twoBlocks = Buffer.concat([squeeze(hello), TAIL, squeeze(hello)]);
  const SOUND = [
    ['a control frame between fragments', Buffer.concat([frame(text, squeeze(hello).subarray(0, 3), { fin: false, rsv: 4 }),
      frame(pong, 'x'), frame(more, squeeze(hello).subarray(3))]), hello],
    ['a stored block', frame(text, level0(hello), { rsv: 4 }), hello],
    ['fixed codes', frame(text, squeeze(hello, { strategy: zlib.constants.Z_FIXED }), { rsv: 4 }), hello],
    ['two blocks', frame(text, twoBlocks, { rsv: 4 }), Buffer.from('HelloHello')],
    ['a block with BFINAL and one byte behind', frame(text, Buffer.concat([zlib.deflateRawSync(hello), Buffer.alloc(1)]), { rsv: 4 }), hello],
    ['an empty message', frame(text, Buffer.from([0x00]), { rsv: 4 }), Buffer.alloc(0)],
    ['an empty message as two bytes', frame(text, Buffer.from([0x02, 0x00]), { rsv: 4 }), Buffer.alloc(0)],
    ['no compression', frame(text, hello), hello],
    ['no compression, in fragments', Buffer.concat(fragments(text, hello, 2)), hello],
    ['empty fragments', Buffer.concat([frame(text, '', { fin: false, rsv: 4 }),
      frame(more, squeeze(hello), { fin: false }), frame(more, '')]), hello],
  ];
  for (const [name, sends, hears] of SOUND) {
    it(`inflates: ${name}`, async () => {
      for (const step of [undefined, 1]) {
        await withPeer({ extensions: 'permessage-deflate' }, async (peer) => {
          await peer.wire.send(sends, step);
          const got = await peer.next();
          assert.equal(got.op, text);
          assert.ok((got.rsv === 4 ? unsqueeze(got.payload) : got.payload).equals(hears));
        });
      }
    });
  }

  const bad = Buffer.from([0x61, 0xed, 0xa0, 0x80]);
  const BROKEN = [
    ['a reserved block type', [frame(text, Buffer.from([0x07, 0x00]), { rsv: 4 })], 1007],
    ['a stored block whose length lies', [frame(text, Buffer.from([0x00, 0x05, 0x00, 0x05, 0x00]), { rsv: 4 })], 1007],
    ['a distance before the beginning', [frame(text, Buffer.from([0x02, 0x46, 0x00]), { rsv: 4 })], 1007],
    ['text that is not UTF-8', [frame(text, squeeze(bad), { rsv: 4 })], 1007],
    ['text that is not UTF-8, before its end',
      [frame(text, Buffer.concat([squeeze(bad), TAIL]), { rsv: 4, fin: false })], 1007],
    ['text that ends within a character', [frame(text, squeeze(Buffer.from([0xe2, 0x82])), { rsv: 4 })], 1007],
    ['RSV1 on a continuation', [frame(text, 'a', { fin: false }), frame(more, 'b', { rsv: 4 })], 1002],
    ['RSV1 on a Ping', [frame(ping, 'a', { rsv: 4 })], 1002],
    ['RSV1 on a Close', [closeFrame(1000, '', { rsv: 4 })], 1002],
    ['RSV1 and RSV2', [frame(text, squeeze(hello), { rsv: 6 })], 1002],
    ['more than 16 MiB in a few KiB', [frame(binary, squeeze(Buffer.alloc(16 * MIB + 1)), { rsv: 4 })], 1009],
    ['more than 16 MiB, before its end',
      [frame(binary, squeeze(Buffer.alloc(17 * MIB)), { rsv: 4, fin: false })], 1009],
  ];
  for (const [name, sends, code] of BROKEN) {
    it(`closes with ${code}: ${name}`, async () => {
      for (const step of [undefined, [1, 997]]) {
        const peer = await Peer.open(server.port, { extensions: 'permessage-deflate' });
        await peer.wire.send(Buffer.concat(sends), step);
        await peer.expectClose(code);
        peer.close();
      }
    });
  }

  const DECLINED = [
    'permessage-bzip2', 'x-webkit-deflate-frame', 'permessage-deflate; unknown', 'permessage-deflate; server_max_window_bits',
    'permessage-deflate; server_max_window_bits=7', 'permessage-deflate; server_max_window_bits=16',
    'permessage-deflate; server_max_window_bits=08', 'permessage-deflate; client_max_window_bits=7',
    'permessage-deflate; client_max_window_bits=16', 'permessage-deflate; client_max_window_bits=x',
    'permessage-deflate; server_no_context_takeover=1', 'permessage-deflate; client_no_context_takeover=yes',
    'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
    'permessage-deflate; client_max_window_bits; client_max_window_bits=10', 'PERMESSAGE-DEFLATE-X',
  ];
  it(`declines ${DECLINED.length} offers and goes on without`, async () => {
    for (const extensions of DECLINED) {
      await withPeer({ extensions }, async (peer) => {
        assert.doesNotMatch(peer.head, /sec-websocket-extensions/i, extensions);
        await peer.wire.send(frame(text, 'plain'));
        await peer.expect(text, 'plain');
      });
    }
  });

  it('refuses an offer that breaks the grammar', async () => {
    for (const extensions of ['permessage-deflate;', 'permessage-deflate; a=', '; a', 'a; b="', 'a; b="c d"', 'a b', 'a; =b', '"a"']) {
      const wire = await Wire.open(server.port);
      await wire.send(handshake({ extensions }));
      await wire.until(() => wire.bytes.includes('\r\n\r\n'), extensions);
      assert.match(wire.bytes.toString('latin1'), /^HTTP\/1\.1 400 /, extensions);
      wire.close();
    }
  });

  it('takes the next acceptable offer, over several lines too', async () => {
    const offers = ['a, b; c=d,permessage-deflate; server_max_window_bits="10"',
      'permessage-deflate; x, permessage-deflate', 'x\r\nSec-WebSocket-Extensions: permessage-deflate'];
    for (const extensions of offers) {
      await withPeer({ extensions }, async (peer) => assert.match(peer.head, /permessage-deflate/));
    }
  });
});
