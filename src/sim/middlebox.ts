// A middlebox that does not let Multipath TCP through: it overwrites the option with padding and repairs the
// checksum, so that the rest of the packet arrives as if nothing had been there.
// RFC 8684 §3.7. Before it: network.ts, for packets that enter a lane with one. After it: the path model.

import { writeChecksum } from '../wire/index.ts';

/** Which packets lose their MPTCP options. */
export type Strips = 'nothing' | 'syn' | 'not-syn' | 'all';

/** Removes the MPTCP options of the packet at `offset`, if it is of the kind; true when there were any. */
export function stripMultipath(
  bytes: Uint8Array,
  offset: number,
  length: number,
  options: { strips: Strips; checksumOffload: boolean },
): boolean {
  const tcp = offset + (bytes[offset] >> 4 === 4 ? (bytes[offset] & 15) << 2 : 40);
  const isSyn = (bytes[tcp + 13] & SYN) !== 0;
  if (options.strips === 'nothing' || options.strips === (isSyn ? 'not-syn' : 'syn')) return false;
  const end = tcp + ((bytes[tcp + 12] >> 4) << 2);
  let found = false;
  for (let at = tcp + 20; at < end && bytes[at] !== END; ) {
    if (bytes[at] === NO_OPERATION) {
      at++;
      continue;
    }
    const next = at + Math.max(2, bytes[at + 1]);
    if (bytes[at] === MPTCP) {
      found = true;
      bytes.fill(NO_OPERATION, at, Math.min(next, end));
    }
    at = next;
  }
  if (found && !options.checksumOffload) writeChecksum(bytes, offset, length);
  return found;
}

const SYN = 2;
const END = 0;
const NO_OPERATION = 1;
const MPTCP = 30;
