// The two networks of the demo. Their queues hold one bandwidth-delay product: what is in flight in a round trip
// at full rate. Before: demo.ts. After: relay.ts makes paths of them, result.ts counts what they could have carried.

export interface Network {
  name: string;
  title: string;
  summary: string;
  rateBitsPerSecond: number;
  delayMs: number;
  queueBytes: number;
}

function network(name: string, title: string, rateBitsPerSecond: number, delayMs: number): Network {
  const queueBytes = (rateBitsPerSecond / 8) * (2 * delayMs * 0.001);
  const summary =
    `${title}: ${rateBitsPerSecond / 1e6} Mbit/s, ${delayMs} ms one way, ` +
    `a queue of ${Math.round(queueBytes / 1000)} KB`;
  return { name, title, summary, rateBitsPerSecond, delayMs, queueBytes };
}

export const networks: readonly Network[] = [
  network('wifi', 'Wi-Fi', 50_000_000, 15),
  network('lte', 'LTE', 20_000_000, 30),
];
