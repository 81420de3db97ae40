// ICMP errors about segments of ours: attempts that end, attempts that go on, packets that become smaller, and
// forgeries that do nothing. Two hosts, packets carried by hand.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { type Connection, Host } from '../../src/host/index.ts';
import { foldChecksum, onesComplementSum } from '../../src/wire/index.ts';

interface World {
  readonly client: Host;
  readonly server: Host;
  readonly connection: Connection;
  now: number;
}

const MTU = 1500;

function host(address: string): Host {
  let next = 1;
  const made = new Host({
    entropy: {
      randomBytes: into => {
        for (let i = 0; i < into.length; i++) into[i] = next++ * 37;
      },
      sha256: data => createHash('sha256').update(data).digest(),
      hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
    },
  });
  made.addInterface({ address, mtu: MTU, gsoMax: MTU });
  return made;
}

function world(family: 4 | 6): World {
  const [a, b] = family === 4 ? ['10.0.0.1', '10.0.0.2'] : ['fd00::1', 'fd00::2'];
  const client = host(a);
  const server = host(b);
  server.listen({ port: 80 });
  const remote = { address: b, port: 80 };
  const connection = client.connect({ remote, paths: [{ interfaceId: 1 }], config: { synRetries: 1 } }, 0);
  return { client, server, connection, now: 0 };
}

/** Everything that one host has to send now. */
function packets(from: Host, now: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  const buffer = new Uint8Array(65_535);
  for (let length = from.transmit(buffer, 0, now); length > 0; length = from.transmit(buffer, 0, now)) {
    out.push(buffer.slice(0, length));
  }
  return out;
}

function deliver(to: Host, list: readonly Uint8Array[], now: number): void {
  for (const packet of list) to.receive(1, packet, 0, packet.length, now);
}

function establish(w: World): void {
  for (let i = 0; i < 3; i++) {
    deliver(w.server, packets(w.client, w.now), w.now);
    deliver(w.client, packets(w.server, w.now), w.now);
  }
  assert.ok(w.connection.connected);
}

/** The error a router would send about a packet: as much of it quoted as RFC 792 or RFC 4443 promise. */
function icmp(packet: Uint8Array, error: { type: number; code: number; word?: number }): Uint8Array {
  const ipv4 = packet[0] >> 4 === 4;
  const header = ipv4 ? 20 : 40;
  const quoted = packet.subarray(0, header + (ipv4 ? 8 : 20));
  const out = new Uint8Array(header + 8 + quoted.length);
  const view = new DataView(out.buffer);
  if (ipv4) {
    view.setUint16(0, 0x4500);
    view.setUint16(2, out.length);
    view.setUint16(8, 0x4001);
    out.set([192, 0, 2, 1], 12);
    out.set(packet.subarray(12, 16), 16);
    view.setUint16(10, foldChecksum(onesComplementSum(out, 0, 20)));
  } else {
    view.setUint16(0, 0x6000);
    view.setUint16(4, out.length - 40);
    view.setUint16(6, 0x3a40);
    out.set(packet.subarray(24, 40), 8);
    out.set(packet.subarray(8, 24), 24);
  }
  out[header] = error.type;
  out[header + 1] = error.code;
  view.setUint32(header + 4, error.word ?? 0);
  out.set(quoted, header + 8);
  const pseudo = ipv4 ? 0 : onesComplementSum(out, 8, 32, 58 + out.length - 40);
  view.setUint16(header + 2, foldChecksum(onesComplementSum(out, header, out.length - header, pseudo)));
  return out;
}

const portUnreachable = { 4: { type: 3, code: 3 }, 6: { type: 1, code: 4 } };
const noRoute = { 4: { type: 3, code: 1 }, 6: { type: 1, code: 0 } };
const tooBig = (family: 4 | 6, mtu: number) =>
  family === 4 ? { type: 3, code: 4, word: mtu } : { type: 2, code: 0, word: mtu };

for (const family of [4, 6] as const) {
  test(`IPv${family}: port unreachable ends an attempt at once, with the option and without`, () => {
    const w = world(family);
    const [syn] = packets(w.client, 0);
    deliver(w.client, [icmp(syn, portUnreachable[family])], 1);
    assert.equal(w.connection.error, null);
    const [plainSyn, ...others] = packets(w.client, 1);
    assert.deepEqual(others, []);
    deliver(w.client, [icmp(plainSyn, portUnreachable[family])], 2);
    assert.equal(w.connection.error, 'ECONNREFUSED');
    assert.deepEqual(packets(w.client, 2), []);
  });

  test(`IPv${family}: no route does not end an attempt, but names what it died of`, () => {
    const w = world(family);
    const [syn] = packets(w.client, 0);
    deliver(w.client, [icmp(syn, noRoute[family])], 1);
    assert.equal(w.connection.error, null);
    for (let i = 0; i < 5 && !w.connection.closed; i++) {
      w.now = w.client.nextDeadline();
      w.client.expire(w.now);
      packets(w.client, w.now);
    }
    assert.equal(w.connection.error, 'EHOSTUNREACH');
  });

  test(`IPv${family}: no route is forgotten when an answer comes`, () => {
    const w = world(family);
    const [syn] = packets(w.client, 0);
    deliver(w.client, [icmp(syn, noRoute[family])], 1);
    deliver(w.server, [syn], 1);
    deliver(w.client, packets(w.server, 1), 1);
    assert.ok(w.connection.connected);
  });

  test(`IPv${family}: too big: sent again at once in smaller packets, and all later ones are`, () => {
    const w = world(family);
    establish(w);
    w.connection.write(new Uint8Array(10_000), 0, 10_000, w.now);
    const before = packets(w.client, w.now);
    const large = before.filter(packet => packet.length > 1300);
    assert.ok(large.length > 3);
    deliver(w.client, [icmp(large[0], tooBig(family, 1300))], 1);
    const after = packets(w.client, 1);
    assert.ok(after.length > 0, 'nothing was sent again');
    assert.ok(after.every(packet => packet.length <= 1300));
    deliver(w.server, after, 2);
    for (let i = 0; i < 50; i++) {
      deliver(w.client, packets(w.server, 2 + i), 2 + i);
      const more = packets(w.client, 2 + i);
      assert.ok(more.every(packet => packet.length <= 1300));
      deliver(w.server, more, 2 + i);
    }
    assert.equal(w.connection.unacknowledgedBytes, 0);
  });

  test(`IPv${family}: an MTU below what the protocol guarantees is not believed`, () => {
    const w = world(family);
    establish(w);
    w.connection.write(new Uint8Array(10_000), 0, 10_000, w.now);
    const [first] = packets(w.client, w.now).filter(packet => packet.length > 1300);
    deliver(w.client, [icmp(first, tooBig(family, 68))], 1);
    const longest = Math.max(...packets(w.client, 1).map(packet => packet.length));
    assert.ok(longest > (family === 4 ? 500 : 1200), `${longest} bytes`);
  });

  test(`IPv${family}: errors about nothing in flight, or damaged, do nothing`, () => {
    const w = world(family);
    establish(w);
    w.connection.write(new Uint8Array(1000), 0, 1000, w.now);
    const [sent] = packets(w.client, w.now);
    const forged = sent.slice();
    forged[(family === 4 ? 20 : 40) + 4] ^= 0x40;
    const damaged = icmp(sent, tooBig(family, 1280));
    damaged[damaged.length - 1] ^= 1;
    const { OutOfWindowIcmps, MalformedDrops } = w.client.counters;
    deliver(w.client, [icmp(forged, tooBig(family, 1280)), damaged], 1);
    assert.equal(w.client.counters.OutOfWindowIcmps, OutOfWindowIcmps + 1);
    assert.equal(w.client.counters.MalformedDrops, MalformedDrops + 1);
    assert.deepEqual(packets(w.client, 1), []);
  });

  test(`IPv${family}: port unreachable does not end a connection`, () => {
    const w = world(family);
    establish(w);
    w.connection.write(new Uint8Array(1000), 0, 1000, w.now);
    const [sent] = packets(w.client, w.now);
    deliver(w.client, [icmp(sent, portUnreachable[family])], 1);
    assert.equal(w.connection.error, null);
    assert.equal(w.connection.closed, false);
  });
}

test('every cut and every changed byte of an error is survived', () => {
  const w = world(4);
  const [syn] = packets(w.client, 0);
  const whole = icmp(syn, noRoute[4]);
  for (let length = 0; length < whole.length; length++) w.client.receive(1, whole, 0, length, 1);
  for (let at = 0; at < whole.length; at++) {
    const changed = whole.slice();
    changed[at] ^= 0xff;
    w.client.receive(1, changed, 0, changed.length, 1);
  }
  assert.equal(w.connection.error, null);
});
