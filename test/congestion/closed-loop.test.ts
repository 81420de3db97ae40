// Controllers in their habitat: an ideal sender over a modelled path, acknowledged packet by packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CongestionName, createController } from '../../src/congestion/index.ts';
import { LINK_PROFILES, PathModel, type PathOptions, Random } from '../../src/netmodel/index.ts';

const MSS = 1348;
const PACKET = 1400;

interface Outcome {
  /** Share of the path's rate used by what was delivered, from `fromMs` to the end. */
  utilization: number;
  lost: number;
  episodes: number;
}

function transfer(name: CongestionName, options: PathOptions, fromMs: number, untilMs: number): Outcome {
  const controller = createController(name, MSS, 10 * MSS);
  const path = new PathModel(options);
  const random = new Random(1);
  const returnMs = options.delayMs ?? 0;
  // Every packet sent: when its acknowledgement arrives, -1 when lost.
  const ackMs: number[] = [];
  const sentMs: number[] = [];
  let acked = 0;
  let recoverAt = -1;
  let now = 0;
  let srttMs = 0;
  let minRttMs = Infinity;
  let inFlight = 0;
  let deliveredLate = 0;
  const outcome: Outcome = { utilization: 0, lost: 0, episodes: 0 };
  while (now < untilMs) {
    while ((inFlight + 1) * MSS <= controller.cwndBytes) {
      const verdict = path.offer(now, PACKET, random);
      ackMs.push(verdict.lost ? -1 : verdict.arrivesMs + returnMs);
      sentMs.push(now);
      inFlight += 1;
    }
    // The next acknowledgement shows every loss before it, as SACK does without reordering.
    const firstOutstanding = acked;
    while (ackMs[acked] === -1) acked += 1;
    const lost = acked - firstOutstanding;
    if (acked === ackMs.length) throw new Error('everything in flight was lost');
    now = ackMs[acked];
    const rttMs = now - sentMs[acked];
    srttMs = srttMs === 0 ? rttMs : srttMs + (rttMs - srttMs) / 8;
    minRttMs = Math.min(minRttMs, rttMs);
    acked += 1;
    const cwndLimited = (inFlight + 1) * MSS > controller.cwndBytes;
    const flightBytes = inFlight * MSS;
    inFlight -= lost + 1;
    outcome.lost += lost;
    if (lost > 0 && firstOutstanding > recoverAt) {
      controller.onEnterRecovery(flightBytes, now);
      outcome.episodes += 1;
      recoverAt = ackMs.length;
    } else if (recoverAt !== -1 && acked > recoverAt) {
      controller.onExitRecovery(now);
      recoverAt = -1;
    }
    controller.onAck(MSS, inFlight * MSS, srttMs, minRttMs, rttMs, cwndLimited, now);
    if (now >= fromMs) deliveredLate += PACKET;
  }
  outcome.utilization = (deliveredLate * 8000) / ((options.rateBitsPerSecond ?? 0) * (now - fromMs));
  return outcome;
}

test('CUBIC fills Wi-Fi and LTE with a queue of one bandwidth-delay product', () => {
  for (const profile of [LINK_PROFILES.wifi, LINK_PROFILES.lte]) {
    const { utilization, episodes } = transfer('cubic', profile.forward, 0, 20_000);
    assert.ok(utilization > 0.98, `${profile.title}: ${utilization} from the first packet on`);
    assert.ok(episodes >= 1, 'it probes until something is lost');
  }
});

test('NewReno fills Wi-Fi with a queue of one bandwidth-delay product', () => {
  const { utilization } = transfer('reno', LINK_PROFILES.wifi.forward, 0, 20_000);
  assert.ok(utilization > 0.97, `${utilization}`);
});

test('HyStart++ loses less than half of what NewReno loses in the first slow start', () => {
  const cubic = transfer('cubic', LINK_PROFILES.wifi.forward, 0, 1000);
  const reno = transfer('reno', LINK_PROFILES.wifi.forward, 0, 1000);
  assert.ok(cubic.lost < reno.lost / 2, `${cubic.lost} and ${reno.lost}`);
});

test('with random loss of 1e-4 and an RTT of 0.1 s windows average what RFC 9438 Table 1 says', () => {
  const options = { rateBitsPerSecond: 400_000_000, delayMs: 50, loss: 0.0001 };
  for (const [name, segments] of [
    ['cubic', 187],
    ['reno', 120],
  ] as const) {
    const { utilization } = transfer(name, options, 5000, 600_000);
    const average = (utilization * 400e6 * 0.1) / 8 / PACKET;
    // The table's losses are evenly spaced and these are not: 140 of them leave about a tenth of doubt.
    assert.ok(average > segments * 0.75 && average < segments * 1.3, `${name}: ${average} segments`);
  }
});
