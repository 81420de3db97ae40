// Coupled congestion control, RFC 6356: the increase computed from its formula, and what comes of it beside one
// ordinary flow on a bottleneck.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CongestionController,
  type CongestionName,
  Coupling,
  createController,
} from '../../src/congestion/index.ts';

const MSS = 1000;

/** In congestion avoidance with a window of so many segments. */
function avoiding(name: CongestionName, segments: number): CongestionController {
  const c = createController(name, MSS, 2 * segments * MSS);
  c.onEnterRecovery(2 * segments * MSS, 0);
  c.onExitRecovery(0);
  return c;
}

function ack(c: CongestionController, ackedBytes: number, rttMs: number): void {
  c.onAck(ackedBytes, c.cwndBytes - ackedBytes, rttMs, rttMs, rttMs, true, 0);
}

/** Bytes acknowledged until the window grows. */
function bytesToGrow(c: CongestionController, rttMs: number): number {
  const before = c.cwndBytes;
  for (let bytes = 100; bytes < 1_000_000; bytes += 100) {
    ack(c, 100, rttMs);
    if (c.cwndBytes > before) return bytes;
  }
  return Infinity;
}

/** RFC 6356 §3 and §4: alpha from windows and round-trip times, then the smaller of both increases. */
function expectedBytes(flows: readonly { cwnd: number; rtt: number }[], i: number): number {
  const total = flows.reduce((sum, f) => sum + f.cwnd, 0);
  const best = Math.max(...flows.map(f => f.cwnd / f.rtt ** 2));
  const alpha = (total * best) / flows.reduce((sum, f) => sum + f.cwnd / f.rtt, 0) ** 2;
  // One MSS for each byte of: min(alpha · acked · MSS / total, acked · MSS / cwnd_i).
  return 1 / Math.min(alpha / total, 1 / flows[i].cwnd);
}

test('R5: alone it grows as NewReno does', () => {
  for (const name of ['reno', 'lia'] as const) assert.equal(bytesToGrow(avoiding(name, 10), 50), 10_000);
  const coupled = avoiding('lia', 10);
  new Coupling().add(coupled);
  assert.equal(bytesToGrow(coupled, 50), 10_000);
});

test('R5: the increase of coupled flows is that of RFC 6356, whatever their windows and round-trip times', () => {
  const cases = [
    [
      { segments: 10, rtt: 50 },
      { segments: 10, rtt: 50 },
    ],
    [
      { segments: 40, rtt: 20 },
      { segments: 10, rtt: 200 },
    ],
    [
      { segments: 5, rtt: 10 },
      { segments: 30, rtt: 10 },
      { segments: 30, rtt: 300 },
    ],
  ];
  for (const flows of cases) {
    for (let i = 0; i < flows.length; i++) {
      const coupling = new Coupling();
      const all = flows.map(({ segments }) => avoiding('lia', segments));
      for (const [k, c] of all.entries()) {
        coupling.add(c);
        ack(c, 1, flows[k].rtt);
      }
      const numbers = flows.map(({ segments, rtt }) => ({ cwnd: segments * MSS, rtt }));
      const bytes = bytesToGrow(all[i], flows[i].rtt);
      const expected = expectedBytes(numbers, i);
      assert.ok(Math.abs(bytes - expected) <= 101, `${bytes} bytes, expected ${expected}`);
    }
  }
});

test('R5: a flow that is gone counts no longer; other controllers are left alone', () => {
  const coupling = new Coupling();
  const [a, b] = [avoiding('lia', 10), avoiding('lia', 10)];
  const reno = avoiding('reno', 10);
  for (const c of [a, b, reno]) coupling.add(c);
  ack(b, 1, 50);
  assert.equal(bytesToGrow(reno, 50), 10_000);
  assert.ok(bytesToGrow(a, 50) > 30_000);
  coupling.remove(b);
  assert.equal(bytesToGrow(a, 50), a.cwndBytes - MSS);
});

test('R5: before the first round trip is known, and where nothing is known of others, it grows as NewReno does', () => {
  const coupling = new Coupling();
  assert.equal(coupling.bytesPerIncrease(), 0);
  const [a, b] = [avoiding('lia', 10), avoiding('lia', 10)];
  coupling.add(a);
  coupling.add(b);
  assert.equal(coupling.bytesPerIncrease(), 0);
  assert.equal(bytesToGrow(a, 50), 10_000);
  // What was never a member is not taken out.
  coupling.remove(avoiding('lia', 10));
  ack(b, 1, 50);
  assert.ok(bytesToGrow(a, 50) > 30_000);
});

/** Mean windows of flows that share a bottleneck of so many bytes a round trip, and lose when they exceed it. */
function shares(flows: readonly CongestionController[], rounds: number): number[] {
  const sums = flows.map(() => 0);
  for (let round = 0; round < rounds; round++) {
    for (const c of flows)
      for (let left = c.cwndBytes; left > 0; left -= MSS) ack(c, Math.min(left, MSS), 100);
    // The flow whose packet is the first too many, each as likely as it has packets there.
    const total = flows.reduce((sum, c) => sum + c.cwndBytes, 0);
    if (total > 100 * MSS) {
      let at = ((round * 7919) % 1000) / 1000;
      const hit = flows.find(c => {
        at -= c.cwndBytes / total;
        return at < 0;
      });
      if (hit === undefined) continue;
      hit.onEnterRecovery(hit.cwndBytes, 0);
      hit.onExitRecovery(0);
    }
    for (const [i, c] of flows.entries()) sums[i] += c.cwndBytes;
  }
  return sums.map(sum => sum / rounds);
}

test('R5: two subflows and one ordinary flow share a bottleneck: the connection gets no more than the flow', () => {
  const coupling = new Coupling();
  const [a, b] = [avoiding('lia', 10), avoiding('lia', 10)];
  coupling.add(a);
  coupling.add(b);
  const [first, second, other] = shares([a, b, avoiding('reno', 10)], 20_000);
  const ratio = (first + second) / other;
  assert.ok(ratio > 0.7 && ratio < 1.3, `${ratio.toFixed(2)} times the ordinary flow`);
  const [x, y, z] = shares([avoiding('reno', 10), avoiding('reno', 10), avoiding('reno', 10)], 20_000);
  assert.ok((x + y) / z > 1.7, 'uncoupled they get twice as much');
});

test('RFC 6356 §3: whichever flow goes, the others count on', () => {
  for (const gone of [0, 1, 2]) {
    const coupling = new Coupling();
    const flows = [10, 20, 30].map(segments => avoiding('lia', segments));
    for (const c of flows) {
      coupling.add(c);
      ack(c, 1, 50);
    }
    coupling.remove(flows[gone]);
    // RFC 6356 §3 with the same round trip: (Σ cwnd)² / max(cwnd).
    const left = flows.filter((_, i) => i !== gone).map(c => c.cwndBytes);
    const expected = (left[0] + left[1]) ** 2 / left[1];
    assert.ok(Math.abs(coupling.bytesPerIncrease() - expected) < 1e-6);
  }
});
