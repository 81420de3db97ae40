// Decides whether a packet that the stack sent is the one the script expects: header, then every option in its
// place. Names that the script mentions first here are bound to what was sent. Before: run-script.

import { flagBits } from './build-packet.ts';
import type { Addresses, Flow } from './flow.ts';
import { flagText, type LivePacket } from './live-packet.ts';
import { matchOption } from './match-options.ts';
import type { PacketEvent } from './script.ts';

/** null when it matches, else what differs. */
export function matchPacket(
  event: PacketEvent,
  packet: LivePacket,
  flow: Flow,
  addresses: Addresses,
): string | null {
  const flags = flagBits(event.flags);
  // A packet of several segments is cut on its way, and Linux pushes the last piece; scripts write both.
  const either = packet.length > SEGMENT_BYTES ? PUSH : 0;
  if ((packet.flags | either) !== (flags | either))
    return `flags are ${flagText(packet.flags)}, not ${flagText(flags)}`;
  if (event.tos !== null && (packet.tos & ~3) !== (event.tos & ~3))
    return `TOS is ${packet.tos}, not ${event.tos}`;
  if (event.ttl !== null && packet.ttl !== event.ttl) return `TTL is ${packet.ttl}, not ${event.ttl}`;
  if (event.ecn !== null) {
    const ecn = packet.tos & 3;
    const isRight = event.ecn === 'ect01' ? ecn === 1 || ecn === 2 : ECN[ecn] === event.ecn;
    if (!isRight) return `ECN is ${ECN[ecn]}, not ${event.ecn}`;
  }
  const isSyn = (flags & 2) !== 0;
  const seq = (packet.seq - flow.localNumber(0, isSyn)) >>> 0;
  if (seq !== event.seq) return `seq is ${seq}, not ${event.seq}`;
  if (packet.length !== event.length) return `length is ${packet.length}, not ${event.length}`;
  if ((flags & 16) !== 0) {
    const ack = (packet.ack - flow.remoteNumber(0, isSyn)) >>> 0;
    if (ack !== (event.ack ?? 0)) return `ack is ${ack}, not ${event.ack ?? 0}`;
  }
  if (event.window !== null && packet.window !== event.window) {
    return `window is ${packet.window}, not ${event.window}`;
  }
  if (event.urgent !== packet.urgent) return `urgent pointer is ${packet.urgent}, not ${event.urgent}`;
  if (event.options === null) return null;
  const { options } = packet;
  // Beside an option of Multipath TCP, scripts write any echo: packetdrill does not look at it there.
  const echoes = !options.some(({ kind }) => kind === MULTIPATH) && flow.keys === null;
  for (const [i, option] of event.options.entries()) {
    if (i >= options.length) return `option ${option.kind} is missing`;
    const difference = matchOption(option, options[i], flow, addresses, echoes);
    if (difference !== null) return difference;
  }
  return options.length > event.options.length
    ? `there are ${options.length} options, not ${event.options.length}`
    : null;
}

const MULTIPATH = 30;
const PUSH = 8;
/** No script has larger segments than those of Ethernet where it leaves the flag away. */
const SEGMENT_BYTES = 1500;
const ECN = ['noecn', 'ect1', 'ect0', 'ce'];
