import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Link, type LinkSink, memoryPair } from '../../src/link/index.ts';

function collector(): LinkSink & { readonly packets: string[] } {
  const packets: string[] = [];
  return {
    packets,
    packet: (_link: Link, bytes: Uint8Array, offset: number, length: number) => {
      packets.push(Buffer.from(bytes.subarray(offset, offset + length)).toString());
    },
    mtuChanged: () => {},
    refused: () => {},
  };
}

function send(link: Link, text: string): void {
  const bytes = Buffer.from(`--${text}--`);
  link.send(bytes, 2, text.length, 1000);
}

test('packets wait for deliver() and arrive whole and in order, both ways', () => {
  const { a, b, deliver } = memoryPair({ addresses: ['192.0.2.1', '192.0.2.2'] });
  const [atA, atB] = [collector(), collector()];
  a.attach(atA);
  b.attach(atB);
  send(a, 'one');
  send(a, 'two');
  send(b, 'three');
  assert.deepEqual([atA.packets, atB.packets], [[], []]);
  assert.equal(deliver(), 3);
  assert.deepEqual([atA.packets, atB.packets], [['three'], ['one', 'two']]);
  assert.equal(deliver(), 0);
});

test('an answer belongs to the next batch', () => {
  const { a, b, deliver } = memoryPair({ addresses: ['192.0.2.1', '192.0.2.2'] });
  const atA = collector();
  a.attach(atA);
  b.attach({ ...collector(), packet: () => send(b, 'answer') });
  send(a, 'question');
  assert.equal(deliver(), 1);
  assert.deepEqual(atA.packets, []);
  assert.equal(deliver(), 1);
  assert.deepEqual(atA.packets, ['answer']);
});

test('a full queue drops and counts', () => {
  const { a, b, deliver } = memoryPair({ addresses: ['192.0.2.1', '192.0.2.2'], queueLimit: 2 });
  const atB = collector();
  a.attach(collector());
  b.attach(atB);
  for (const text of ['1', '2', '3']) send(a, text);
  deliver();
  assert.deepEqual(atB.packets, ['1', '2']);
  assert.equal(a.counters['dropped'], 1);
});

test('a closed link neither sends nor receives', () => {
  const { a, b, deliver } = memoryPair({ addresses: ['192.0.2.1', '192.0.2.2'] });
  const atB = collector();
  b.attach(atB);
  send(a, 'before');
  b.close();
  deliver();
  send(b, 'after');
  assert.deepEqual(atB.packets, []);
  assert.equal(deliver(), 0);
});
