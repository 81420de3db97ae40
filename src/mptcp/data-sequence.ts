// Decides how data sequence numbers cross the wire. Inside, a dsn is a JS number: the offset from the initial
// data sequence number (0 = the MP_CAPABLE SYN, first byte 1). 64-bit halves exist only here and in wire.
// Read: RFC 8684 §3.3.1 (32-bit form and its promotion), §3.3.2.

const WORD = 2 ** 32;
/** Offsets farther away than this are not from this connection. */
const REACH = 2 ** 52;

/** The two halves of one side's initial data sequence number. */
export class DataSequence {
  private hi = 0;
  private lo = 0;
  /** Bytes at the beginning of the stream that are outside of the data sequence (RFC 8684 §B.2). */
  private outside = 0;

  start(idsn: { idsnHi: number; idsnLo: number }): void {
    this.hi = idsn.idsnHi;
    this.lo = idsn.idsnLo;
  }

  /**
   * So many first bytes of the stream left in a SYN. RFC 8684 §B.2: "the first non-TFO data byte occupies the
   * second octet" of the data sequence.
   */
  leaveOut(bytes: number): void {
    this.outside = bytes;
  }

  /** Upper half of the wire number of an offset. */
  wireHi(dsn: number): number {
    return (this.hi + Math.floor((this.lo + dsn - this.outside) / WORD)) >>> 0;
  }

  /** Lower half of the wire number of an offset. */
  wireLo(dsn: number): number {
    return (this.lo + dsn - this.outside) % WORD;
  }

  /** Offset of a 64-bit number; NaN when it is out of all proportion. */
  from64(hi: number, lo: number): number {
    const dsn = ((hi - this.hi) | 0) * WORD + (lo - this.lo) + this.outside;
    return dsn > -REACH && dsn < REACH ? dsn : Number.NaN;
  }

  /**
   * Offset of a 32-bit number: the one nearest to `expected`. A wrap is thereby believed exactly when it is
   * expected, and an old number from before it is not taken for a new one (RFC 8684 §3.3.1).
   */
  from32(lo: number, expected: number): number {
    return expected + ((lo - this.wireLo(expected)) | 0);
  }
}
