// Records what enters the paths of a world as pcapng, for Wireshark and tcpdump: one interface a path,
// virtual time. What a path does to a packet stands beside it as a comment.
// Before it: network.ts tells it of every packet that enters a path. After it: whoever writes the file.

import { Capture } from '../link/index.ts';
import type { Lane } from './network.ts';
import type { PacketFate } from './packet-trace.ts';

export class PacketCapture {
  private readonly capture: Capture;
  private nowMs = 0;

  /** `write` takes the next bytes of the file; `paths` are the names of the paths, in their order. */
  constructor(write: (bytes: Uint8Array) => void, paths: readonly string[]) {
    this.capture = new Capture({ write, nowUs: () => this.nowMs * 1000 });
    for (const path of paths) this.capture.describe(path, '');
  }

  /** A packet enters a path. Outbound is the direction in which the path was drawn. */
  packet(
    nowMs: number,
    lane: Lane,
    bytes: Uint8Array,
    offset: number,
    length: number,
    fate: PacketFate,
  ): void {
    this.nowMs = nowMs;
    this.capture.packet({
      interfaceNumber: lane.path,
      inbound: lane.direction === 'backward',
      bytes,
      offset,
      length,
      checksum: lane.to.checksumOffload,
      comment: [...(Number.isNaN(fate.arrivalMs) ? ['lost'] : []), fate.note].filter(Boolean).join(': '),
    });
  }
}
