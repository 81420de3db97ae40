// Draws what happens to a world while its connections run. One path of those a connection uses, the
// anchor, only ever suffers outages it must survive, so that in every world but a doomed one there is a
// way through.
// Before it: draw.ts, with everything else drawn. After it: scenario.ts makes it happen.

import type { Random } from '../netmodel/index.ts';
import { between, chance, logBetween, pick, whole } from './chance.ts';
import type { Traits } from './draw.ts';
import type { WorldEvent, WorldPlan } from './plan.ts';

export function drawEvents(random: Random, traits: Traits, plan: WorldPlan): WorldEvent[] {
  const events: WorldEvent[] = [];
  const spanMs = likelySpanMs(plan);
  if (traits.outages) outages(random, plan, spanMs, events);
  if (traits.changes) changes(random, plan, spanMs, events);
  if (traits.freezes) {
    for (let i = whole(random, 1, 4); i > 0; i--) {
      const host = whole(random, 0, plan.hosts.length - 1);
      events.push({
        atMs: between(random, 0, spanMs),
        type: 'freeze',
        host,
        forMs: logBetween(random, 5, 5_000),
      });
    }
  }
  if (traits.doom) {
    const atMs = between(random, 0, spanMs);
    for (let path = 0; path < plan.paths.length; path++) events.push({ atMs, type: 'path-down', path });
    // What was to come up again does not.
    return events.filter(event => event.atMs <= atMs || event.type !== 'path-up');
  }
  return events;
}

function outages(random: Random, plan: WorldPlan, spanMs: number, events: WorldEvent[]): void {
  for (let path = 0; path < plan.paths.length; path++) {
    if (chance(random, 0.4)) continue;
    let atMs = between(random, 0, spanMs);
    for (let i = whole(random, 1, 3); i > 0; i--) {
      const untilMs = atMs + logBetween(random, 20, LONGEST_OUTAGE_MS);
      events.push({ atMs, type: 'path-down', path }, { atMs: untilMs, type: 'path-up', path });
      atMs = untilMs + logBetween(random, 1, spanMs + 1_000);
    }
  }
}

function changes(random: Random, plan: WorldPlan, spanMs: number, events: WorldEvent[]): void {
  const anchor = chance(random, 0.5) ? 0 : whole(random, 0, plan.paths.length - 1);
  const anchorInterface = plan.paths[anchor].from.interface;
  for (const [path, { from, to }] of plan.paths.entries()) {
    if (path === anchor || chance(random, 0.4)) continue;
    const atMs = between(random, 0, spanMs);
    const kind = random.next();
    if (kind < 0.35) events.push({ atMs, type: 'path-down', path });
    else if (kind < 0.8) {
      if (from.interface === anchorInterface) continue;
      loseAddress(random, { host: 0, place: from.interface, atMs }, events);
    } else if (to.interface !== plan.paths[anchor].to.interface) {
      events.push({ atMs, type: 'address-removed', host: 1, interface: to.interface });
    }
  }
  for (const [index, connection] of plan.connections.entries()) {
    const atMs = between(random, 0, spanMs);
    const change = pick(random, ['add', 'remove', 'backup', 'nothing'] as const);
    if (change === 'add') {
      const path = pick(random, plan.paths);
      const backup = chance(random, 0.3);
      const use = { interface: path.from.interface, backup, serverInterface: path.to.interface };
      events.push({ atMs, type: 'path-added', connection: index, path: use });
    } else if (change === 'remove') {
      const one = pick(random, connection.paths);
      if (one.interface === anchorInterface) continue;
      events.push({ atMs, type: 'path-removed', connection: index, interface: one.interface });
    } else if (change === 'backup') {
      for (let i = whole(random, 1, 4); i > 0; i--) {
        const side = chance(random, 0.5) ? 'client' : 'server';
        const backup = chance(random, 0.5);
        events.push({ atMs: atMs * random.next(), type: 'backup', connection: index, side, backup });
      }
    }
  }
}

function loseAddress(
  random: Random,
  options: { host: number; place: number; atMs: number },
  events: WorldEvent[],
): void {
  const { host, place, atMs } = options;
  events.push({ atMs, type: 'address-removed', host, interface: place });
  if (chance(random, 0.3)) return;
  const backMs = atMs + logBetween(random, 1, LONGEST_OUTAGE_MS);
  events.push({ atMs: backMs, type: 'address-added', host, interface: place });
}

// Roughly how long the connections will be busy: events later than that would meet nobody.
function likelySpanMs(plan: WorldPlan): number {
  let spanMs = 0;
  for (const { startMs, clientApplication, serverApplication } of plan.connections) {
    const [{ forward, backward }] = plan.paths;
    const rttMs = (forward.delayMs ?? 0) + (backward.delayMs ?? 0) + 1;
    const steps = clientApplication.send.length + serverApplication.send.length;
    let ms = startMs + rttMs * (3 + steps);
    for (const [application, link] of [
      [clientApplication, forward],
      [serverApplication, backward],
    ] as const) {
      const bytesPerMs = (link.rateBitsPerSecond ?? 1e9) / 8_000;
      for (const step of application.send) ms += step.bytes / bytesPerMs + (step.gapMs ?? 0);
    }
    spanMs = Math.max(spanMs, ms);
  }
  return spanMs;
}

const LONGEST_OUTAGE_MS = 20_000;
