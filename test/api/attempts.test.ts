// Attempts of our own stack to connect: the next address is tried beside one that does not answer (RFC 8305 §5).

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { test } from 'node:test';
import { dial, serve } from './world.ts';

test('autoSelectFamilyAttemptTimeout is when, and connectionAttemptTimeout says so', async t => {
  const serving = await serve(t);
  const silent = createSocket('udp4');
  silent.bind(serving.port, '127.0.0.8');
  await once(silent, 'listening');
  t.after(() => void silent.close());
  const lookup: LookupFunction = (_host, _options, callback) =>
    callback(null, [
      { address: '127.0.0.8', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]);
  const paths = [{ local: '127.0.0.1' }];
  const client = dial(t, serving, { host: 'two.test', lookup, paths, autoSelectFamilyAttemptTimeout: 500 });
  const heard: unknown[] = [];
  const began = performance.now();
  let secondMs = 0;
  client.on('connectionAttempt', (address: string) => {
    heard.push(address);
    secondMs = performance.now() - began;
  });
  client.on('connectionAttemptTimeout', (...values: unknown[]) => heard.push(values));
  await once(client, 'connect');
  assert.deepEqual(heard, ['127.0.0.8', ['127.0.0.8', serving.port, 4], '127.0.0.1']);
  assert.equal(client.remoteAddress, '127.0.0.1');
  assert.ok(secondMs >= 499, `after ${secondMs} ms`);
});
