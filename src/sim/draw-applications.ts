// Draws what two applications do with a connection: pairs of plans that fit together, so that what one
// waits for the other sends.
// Before it: draw.ts, with how much data the world can bear. After it: application.ts carries it out.

import type { Random } from '../netmodel/index.ts';
import type { ApplicationPlan, Finish, SendStep } from './application.ts';
import { between, chance, logBetween, pick, whole } from './chance.ts';

/** Two plans for the two ends of a connection. */
export interface ApplicationPair {
  client: ApplicationPlan;
  server: ApplicationPlan;
}

/**
 * Draws a pair. `budgetBytes` bounds what is sent in both directions together; `rough` allows ends that
 * lose data: aborts, and letting go with data unread. `certainKeepAlive`: packets may be lost, or paths.
 * `drops`: a box drops packets.
 */
export function drawApplications(
  random: Random,
  options: { budgetBytes: number; rough: boolean; certainKeepAlive: boolean; drops: boolean },
): ApplicationPair {
  const [clientSteps, serverSteps] = drawDialogue(random, options.budgetBytes);
  const clientBytes = total(clientSteps);
  const serverBytes = total(serverSteps);
  const client = drawHabits(random, clientSteps, serverBytes);
  const server = drawHabits(random, serverSteps, clientBytes);
  drawEnd(random, client, server, { clientBytes, serverBytes });
  const rough = options.rough && chance(random, 0.7);
  if (rough) {
    const [one, itsBytes, peerBytes] = chance(random, 0.5)
      ? [client, clientBytes, serverBytes]
      : [server, serverBytes, clientBytes];
    roughEnd(random, one, itsBytes, peerBytes);
  }
  // An end that waits for the other learns of its silent death, and a server of a client whose last handshake
  // packet was lost, only if somebody asks: see `ProgressWatch.isWanted`.
  if (rough || options.certainKeepAlive || chance(random, 0.1)) {
    client.keepAliveMs = Math.round(logBetween(random, 2_000, 300_000));
    server.keepAliveMs = Math.round(logBetween(random, 2_000, 300_000));
  }
  // So does an end that waits for one which has given up behind a box that drops packets. (A draw of its own:
  // worlds without such a box stay what they were.)
  if (client.keepAliveMs === 0 && options.drops) {
    const own = random.fork('dropping box');
    client.keepAliveMs = Math.round(logBetween(own, 2_000, 300_000));
    server.keepAliveMs = Math.round(logBetween(own, 2_000, 300_000));
  }
  // A full queue may lose that packet too, where nothing else is ever lost.
  if (client.keepAliveMs === 0 && isSilent(clientSteps)) {
    client.keepAliveMs = Math.round(logBetween(random.fork('silent client'), 2_000, 300_000));
  }
  return { client, server };
}

function isSilent([first]: readonly SendStep[]): boolean {
  return first === undefined || first.bytes === 0 || (first.afterReceivedBytes ?? 0) > 0;
}

// Who says what after what. Returns the client's steps and the server's.
function drawDialogue(random: Random, budgetBytes: number): [SendStep[], SendStep[]] {
  const bulk = (): SendStep[] => [{ bytes: drawBytes(random, budgetBytes) }];
  switch (whole(random, 0, 8)) {
    case 0:
      return [bulk(), []];
    case 1:
      return [[], bulk()];
    case 2:
      return [
        [{ bytes: drawBytes(random, budgetBytes / 2) }],
        [{ bytes: drawBytes(random, budgetBytes / 2) }],
      ];
    case 3:
    case 4:
      return requests(random, budgetBytes);
    case 5: {
      const greeting = whole(random, 1, 2_000);
      return [
        [{ bytes: drawBytes(random, budgetBytes), afterReceivedBytes: greeting }],
        [{ bytes: greeting }],
      ];
    }
    case 6:
      return [bursts(random, budgetBytes), chance(random, 0.5) ? bursts(random, budgetBytes) : []];
    case 7:
      return [bulk(), [{ bytes: whole(random, 1, 500) }]];
    default:
      return [[], chance(random, 0.5) ? [] : [{ bytes: whole(random, 1, 2_000) }]];
  }
}

function drawBytes(random: Random, mostBytes: number): number {
  const most = Math.max(2, mostBytes);
  return Math.round(chance(random, 0.25) ? logBetween(random, 1, most) : logBetween(random, most / 30, most));
}

function requests(random: Random, budgetBytes: number): [SendStep[], SendStep[]] {
  const rounds = Math.round(logBetween(random, 1, 30));
  const client: SendStep[] = [];
  const server: SendStep[] = [];
  const mostReply = Math.max(2, Math.min(200_000, budgetBytes / rounds));
  const think = chance(random, 0.4) ? logBetween(random, 1, 2_000) : 0;
  let asked = 0;
  let answered = 0;
  for (let i = 0; i < rounds; i++) {
    const request = Math.round(logBetween(random, 1, 3_000));
    client.push({ bytes: request, afterReceivedBytes: answered, gapMs: think * random.next() });
    asked += request;
    const reply = Math.round(logBetween(random, 1, mostReply));
    server.push({ bytes: reply, afterReceivedBytes: asked });
    answered += reply;
  }
  return [client, server];
}

function bursts(random: Random, budgetBytes: number): SendStep[] {
  const count = Math.round(logBetween(random, 2, 100));
  const most = Math.max(2, budgetBytes / 2 / count);
  const gapMs = logBetween(random, 1, 20_000 / count);
  return Array.from({ length: count }, () => ({
    bytes: Math.round(logBetween(random, 1, most)),
    gapMs: gapMs * between(random, 0.1, 2),
  }));
}

// How it writes and reads, whatever the dialogue.
function drawHabits(random: Random, send: SendStep[], expectedBytes: number): ApplicationPlan {
  const sendBytes = total(send);
  const leastWrite = Math.max(1, sendBytes / 3_000);
  const plan: ApplicationPlan = {
    send,
    writeBytes: Math.round(chance(random, 0.5) ? 65_536 : logBetween(random, leastWrite, 262_144)),
    readBytes: Math.round(
      chance(random, 0.7) ? 65_536 : logBetween(random, Math.max(16, expectedBytes / 5_000), 262_144),
    ),
    readEveryMs: 0,
    pauses: [],
    finish: 'shutdown',
    finishAfterReceivedBytes: 0,
    finishAfterWrittenBytes: 0,
    finishAfterMs: chance(random, 0.2) ? logBetween(random, 1, 5_000) : 0,
    noDelay: chance(random, 0.4),
    keepAliveMs: 0,
  };
  if (expectedBytes > 0 && chance(random, 0.15)) {
    // Slow, but not for more than a minute or so of virtual time.
    plan.readBytes = Math.round(logBetween(random, Math.max(64, expectedBytes / 300), 65_536));
    plan.readEveryMs = logBetween(random, 0.5, 200);
  }
  if (expectedBytes > 0 && chance(random, 0.15)) {
    const places = Array.from({ length: whole(random, 1, 3) }, () => whole(random, 0, expectedBytes - 1));
    plan.pauses = places
      .sort((a, b) => a - b)
      .map(atReceivedBytes => ({ atReceivedBytes, forMs: logBetween(random, 10, 20_000) }));
  }
  return plan;
}

// An end in good order: at least one side makes the first move, and nobody leaves before it has read
// everything.
function drawEnd(
  random: Random,
  client: ApplicationPlan,
  server: ApplicationPlan,
  bytes: { clientBytes: number; serverBytes: number },
): void {
  const [first, second, firstExpects, secondExpects] = chance(random, 0.5)
    ? [client, server, bytes.serverBytes, bytes.clientBytes]
    : [server, client, bytes.clientBytes, bytes.serverBytes];
  first.finish = pick<Finish>(random, ['shutdown', 'shutdown', 'close']);
  second.finish = pick<Finish>(random, ['wait', 'wait', 'shutdown', 'close']);
  if (first.finish === 'close') first.finishAfterReceivedBytes = firstExpects;
  if (second.finish === 'close') second.finishAfterReceivedBytes = secondExpects;
}

function roughEnd(random: Random, plan: ApplicationPlan, itsBytes: number, peerBytes: number): void {
  plan.finish = chance(random, 0.6) ? 'abort' : 'close';
  plan.finishAfterReceivedBytes = whole(random, 0, peerBytes);
  plan.finishAfterWrittenBytes = plan.finish === 'abort' ? whole(random, 0, itsBytes) : 0;
  plan.finishAfterMs = chance(random, 0.5) ? 0 : logBetween(random, 0.1, 10_000);
}

function total(steps: SendStep[]): number {
  return steps.reduce((sum, step) => sum + step.bytes, 0);
}
