// Decides the addresses and ports of an outgoing segment: the one place that copies them from where a block,
// or the answer to a stranger, keeps them. Before: tcp/output, host/reset-queue. After: wire.

import type { Segment } from '../wire/index.ts';
import type { NetworkInterface } from './environment.ts';

/** Who a packet goes from and to. */
export interface Route {
  readonly networkInterface: NetworkInterface;
  readonly localPort: number;
  readonly remoteWords: Int32Array;
  readonly remotePort: number;
}

/** Fills version, addresses and ports. */
export function addressSegment(segment: Segment, route: Route): void {
  const { networkInterface, remoteWords } = route;
  const words = networkInterface.words;
  segment.ipVersion = networkInterface.family;
  segment.src0 = words[0];
  segment.src1 = words[1];
  segment.src2 = words[2];
  segment.src3 = words[3];
  segment.dst0 = remoteWords[0];
  segment.dst1 = remoteWords[1];
  segment.dst2 = remoteWords[2];
  segment.dst3 = remoteWords[3];
  segment.srcPort = route.localPort;
  segment.dstPort = route.remotePort;
}
