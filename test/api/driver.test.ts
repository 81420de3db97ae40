// The driver over a host that only notes what it is told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DrivenHost, Driver } from '../../src/api/driver.ts';
import { type MemoryLink, memoryPair } from '../../src/link/index.ts';

class NotingHost {
  readonly log: string[] = [];
  readonly times: number[] = [];
  readonly outgoing: string[] = [];
  readonly readyEndpoints: { takeEvents(): number; userData: unknown }[] = [];
  readonly released: { interfaceId: number; localPort: number }[] = [];
  deadlineMs = Number.POSITIVE_INFINITY;
  transmitInterface = 1;
  transmitSegmentSize = 1000;
  onExpire = () => {};

  addInterface(options: { address: string }): number {
    this.log.push(`add ${options.address}`);
    return 1;
  }
  removeInterface(): void {
    this.log.push('remove');
  }
  setMtu(_id: number, mtu: number): void {
    this.log.push(`mtu ${mtu}`);
  }
  receive(id: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    this.times.push(now);
    this.log.push(`receive ${id} ${Buffer.from(bytes.subarray(offset, offset + length))}`);
  }
  transmit(out: Uint8Array, offset: number): number {
    const text = this.outgoing.shift();
    if (text === undefined) return 0;
    this.log.push(`transmit ${text}`);
    return Buffer.from(text).copy(out, offset);
  }
  nextDeadline(): number {
    return this.deadlineMs;
  }
  expire(now: number): void {
    this.times.push(now);
    this.log.push('expire');
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.onExpire();
  }
  nextReady() {
    return this.readyEndpoints.shift();
  }
  nextReleased() {
    return this.released.shift();
  }
}

function drivenPair() {
  const host = new NotingHost();
  const driver = new Driver<DrivenHost>(host);
  const pair = memoryPair({ addresses: ['192.0.2.1', '192.0.2.2'] });
  driver.attach(pair.a);
  const send = (text: string) => pair.b.send(Buffer.from(text), 0, text.length, 1000);
  return { host, driver, send, ...pair };
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve));

const endpoint = (events: number, ready: (events: number) => void) => ({
  takeEvents: () => events,
  userData: { ready },
});

test('packets of one turn are received with one time, endpoints are served, packets leave', async () => {
  const { host, driver, send, deliver } = drivenPair();
  host.log.length = 0;
  send('one');
  send('two');
  host.readyEndpoints.push(
    endpoint(5, events => {
      host.log.push(`ready ${events}`);
      host.outgoing.push('answer');
    }),
  );
  deliver();
  assert.deepEqual(host.log, ['receive 1 one', 'receive 1 two']);
  assert.equal(host.times[0], host.times[1]);
  await turn();
  assert.deepEqual(host.log.slice(2), ['ready 5', 'transmit answer']);
  assert.equal(driver.counters['packetsIn'], 2);
  assert.equal(driver.counters['packetsOut'], 1);
});

test('nothing happens in a microtask or on the next tick', async () => {
  const { host, driver } = drivenPair();
  host.outgoing.push('packet');
  driver.now();
  await Promise.resolve();
  await new Promise<void>(resolve => process.nextTick(resolve));
  assert.equal(host.outgoing.length, 1);
  await turn();
  assert.equal(host.outgoing.length, 0);
});

test('the calls of one turn have one time and one flush', async () => {
  const { driver } = drivenPair();
  const first = driver.now();
  for (let i = 0; i < 1e5; i++) Math.sqrt(i);
  assert.equal(driver.now(), first);
  await turn();
  assert.equal(driver.counters['turns'], 1);
  assert.ok(driver.now() > first);
});

test('a timer expires at the end of a turn, and not before its time', async () => {
  const { host, driver } = drivenPair();
  const due = driver.now() + 20;
  host.deadlineMs = due;
  const expired = new Promise<void>(resolve => (host.onExpire = resolve));
  const alive = setInterval(() => {}, 1000);
  await expired;
  clearInterval(alive);
  assert.ok(host.times[0] >= due, `${host.times[0]} before ${due}`);
});

test('a late process hears the packets that wait before it lets timers expire, once', async () => {
  const { host, driver, send, deliver } = drivenPair();
  host.log.length = 0;
  host.deadlineMs = driver.now() - 5000;
  for (let batch = 0; batch < 3; batch++) {
    for (let i = 0; i < 40; i++) send('packet');
    deliver();
    await turn();
  }
  assert.equal(host.log.includes('expire'), false);
  await turn();
  assert.equal(host.log.length, 121);
  assert.equal(host.log[120], 'expire');
  assert.equal(driver.counters['timersDeferred'], 3);
});

test('a flood of packets does not put timers off for ever', async () => {
  const { host, driver, send, deliver } = drivenPair();
  host.deadlineMs = driver.now() - 5000;
  for (let batch = 0; batch < 200 && !host.log.includes('expire'); batch++) {
    for (let i = 0; i < 40; i++) send('packet');
    deliver();
    await turn();
  }
  assert.ok(host.log.includes('expire'));
});

test('more to send than fits into a turn goes on in the next one', async () => {
  const { host, driver } = drivenPair();
  const big = 'x'.repeat(60_000);
  for (let i = 0; i < 20; i++) host.outgoing.push(big);
  driver.now();
  await turn();
  assert.ok(host.outgoing.length > 0 && host.outgoing.length < 20);
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(host.outgoing.length, 0);
});

test('an exception of the application reaches the process, and the rest is done next turn', async () => {
  const { host, driver } = drivenPair();
  const served: string[] = [];
  host.readyEndpoints.push(
    endpoint(1, () => {
      throw new Error('of the application');
    }),
    endpoint(1, () => served.push('second')),
  );
  host.outgoing.push('packet');
  const thrown = new Promise<Error>(resolve => process.setUncaughtExceptionCaptureCallback(resolve));
  driver.now();
  const error = await thrown;
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(error.message, 'of the application');
  await turn();
  await turn();
  assert.deepEqual(served, ['second']);
  assert.equal(host.outgoing.length, 0);
});

test('released ports go back to their link and observers are told', async () => {
  const { host, driver, a } = drivenPair();
  const released: number[] = [];
  const told: string[] = [];
  a.releasePort = port => released.push(port);
  driver.observePorts({
    portRefused: () => {},
    portReleased: (id, port) => told.push(`${id}:${port}`),
  });
  host.released.push({ interfaceId: 1, localPort: 4000 });
  driver.now();
  await turn();
  assert.deepEqual([released, told], [[4000], ['1:4000']]);
});

test('a detached interface is gone from the host and its link is closed', () => {
  const { host, driver, a, send, deliver } = drivenPair();
  driver.detach(1);
  send('late');
  deliver();
  assert.deepEqual(host.log, ['add 192.0.2.1', 'remove']);
  assert.equal((a as MemoryLink).counters['received'], 0);
});
