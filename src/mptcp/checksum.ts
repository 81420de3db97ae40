// Decides the DSS checksum: one's complement over the mapped bytes and a pseudo-header of the 64-bit DSN, the
// relative SSN, the length as on the wire (DATA_FIN included) and zeros (RFC 8684 §3.3.1, Figure 10).

import { foldChecksum } from '../wire/index.ts';
import { DataSequence } from './data-sequence.ts';

export interface MappingChecksum {
  sequence: DataSequence;
  dsn: number;
  ssn: number;
  /** Data-level length as on the wire. */
  length: number;
  /** One's complement sum of the payload. */
  sum: number;
}

export function mappingChecksum(options: MappingChecksum): number {
  const { sequence, dsn, length, sum } = options;
  const hi = sequence.wireHi(dsn);
  const lo = sequence.wireLo(dsn);
  const ssn = options.ssn >>> 0;
  const header =
    (hi >>> 16) + (hi & 0xffff) + (lo >>> 16) + (lo & 0xffff) + (ssn >>> 16) + (ssn & 0xffff) + length;
  return foldChecksum(sum + header);
}

/** One record, refilled for each mapping sent or verified: nothing is allocated per packet. */
export const pseudoHeader: MappingChecksum = {
  sequence: new DataSequence(),
  dsn: 0,
  ssn: 0,
  length: 0,
  sum: 0,
};
