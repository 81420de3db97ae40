/**
 * The one object a packet is decoded into and encoded from: every field of IP, TCP and MPTCP this
 * project reads, as plain numbers and preallocated arrays.
 *
 * A receiver keeps one Segment for ever and decodes packet after packet into it; a sender fills one and
 * encodes it. Nothing here refers to the buffer it came from, except by offset.
 *
 * Read first: RFC 9293 §3.1, RFC 7323 §2 and §3, RFC 2018 §3, RFC 8684 §3 (its figures).
 * On the walk: a link's bytes come before, `host` and `tcp/input` after.
 */

/** TCP header flags. */
export const Flag = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;

/** Which MPTCP options a segment carries: the bits of `Segment.mp`. */
export const Mp = {
  CAPABLE: 1,
  JOIN: 2,
  DSS: 4,
  ADD_ADDR: 8,
  REMOVE_ADDR: 16,
  PRIO: 32,
  FAIL: 64,
  FASTCLOSE: 128,
  TCPRST: 256,
} as const;

/** Flags A, B, C and H of MP_CAPABLE. */
export const CapableFlag = {
  CHECKSUM: 0x80,
  EXTENSIBILITY: 0x40,
  NO_JOIN_TO_SOURCE: 0x20,
  HMAC_SHA256: 0x01,
} as const;

/** Flags A, a, M, m and F of DSS. */
export const DssFlag = { DATA_ACK: 1, DATA_ACK_64: 2, MAP: 4, DSN_64: 8, DATA_FIN: 16 } as const;

/** Flag T of MP_TCPRST; the three above it are reserved. */
export const RstFlag = { TRANSIENT: 1 } as const;

/** REMOVE_ADDR is 3 bytes and one per address ID; 40 bytes of options hold no more than this. */
export const MAX_REMOVE_IDS = 37;

/** RFC 7413 §4.1.1: a cookie is 4 to 16 bytes. */
export const MIN_FAST_OPEN_COOKIE = 4;
export const MAX_FAST_OPEN_COOKIE = 16;

/*
 * Fields that hold a full uint32 start above 2^31: the engine then gives them a slot for a double from
 * the first moment, overwrites it in place, and never allocates (or recompiles) when a large one comes.
 */
const U32 = 0xffff_ffff;

export class Segment {
  // IP. Addresses are four int32 words; an IPv4 address is 0, 0, 0xffff, address.
  ipVersion: 4 | 6 = 4;
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  /** Differentiated services and ECN: the upper six and the lower two bits of the traffic class. */
  dscp = 0;
  ecn = 0;
  ttl: number = DEFAULT_TTL;

  // TCP header
  srcPort = 0;
  dstPort = 0;
  seq: number = U32;
  ack: number = U32;
  flags = 0;
  /** As on the wire: the window scale is not applied. */
  window = 0;
  urgent = 0;
  /** Where the payload begins in the buffer decoded from; the encoder does not use it. */
  payloadOffset = 0;
  payloadLength = 0;

  // TCP options
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal: number = U32;
  tsEcr: number = U32;
  sackCount = 0;
  readonly sackLeft: Uint32Array = new Uint32Array(4);
  readonly sackRight: Uint32Array = new Uint32Array(4);
  /** TCP Fast Open: bytes of the cookie, 0 for a request of one, -1 when the option is absent. */
  fastOpenLength = -1;
  readonly fastOpenCookie: Uint8Array = new Uint8Array(MAX_FAST_OPEN_COOKIE);
  /** The option is the one from before it had a number: 254 with 0xF989 (RFC 7413 §6, RFC 6994). */
  fastOpenExperimental = false;

  /** Bits of `Mp`. The fields of an option mean something only while its bit is set. */
  mp = 0;
  /** Options the decoder knew and refused: wrong length, wrong kind of segment, or a second copy. */
  badOptions = 0;

  // MP_CAPABLE
  capableVersion = 0;
  capableFlags = 0;
  /** 4, 12, 20, 22 or 24; 0 without the option. */
  capableLength = 0;
  senderKeyHi: number = U32;
  senderKeyLo: number = U32;
  receiverKeyHi: number = U32;
  receiverKeyLo: number = U32;

  // MP_JOIN
  /** 12 (SYN), 16 (SYN/ACK) or 24 (ACK). */
  joinLength = 0;
  joinBackup = false;
  joinAddressId = 0;
  joinToken: number = U32;
  joinNonce: number = U32;
  /** 8 bytes valid on a SYN/ACK, 20 on the ACK. */
  readonly joinHmac: Uint8Array = new Uint8Array(20);

  // DSS. The high halves are 0 where the wire carried 32 bits.
  dssFlags = 0;
  dataAckHi: number = U32;
  dataAckLo: number = U32;
  dsnHi: number = U32;
  dsnLo: number = U32;
  ssn: number = U32;
  /** Of the mapping in DSS, or in the MP_CAPABLE that goes with the first data. */
  dataLength = 0;
  /** Of that mapping; -1 when absent. */
  checksum = -1;

  // ADD_ADDR
  addAddrId = 0;
  addAddrEcho = false;
  addAddrFamily: 4 | 6 = 4;
  addAddr0 = 0;
  addAddr1 = 0;
  addAddr2 = 0;
  addAddr3 = 0;
  /** 0 when absent. */
  addAddrPort = 0;
  /** Not sent in an echo. */
  addAddrHmacHi: number = U32;
  addAddrHmacLo: number = U32;

  // REMOVE_ADDR
  removeCount = 0;
  readonly removeIds: Uint8Array = new Uint8Array(MAX_REMOVE_IDS);

  // MP_PRIO
  prioBackup = false;

  // MP_FAIL
  failDsnHi: number = U32;
  failDsnLo: number = U32;

  // MP_FASTCLOSE
  fastcloseKeyHi: number = U32;
  fastcloseKeyLo: number = U32;

  // MP_TCPRST
  rstFlags = 0;
  rstReason = 0;

  constructor() {
    this.seq = 0;
    this.ack = 0;
    this.reset();
  }

  /** Forgets everything one packet must not inherit from the one before. Addresses, ports and numbers
   * that every packet states stay as they were. */
  reset(): void {
    this.dscp = 0;
    this.ecn = 0;
    this.ttl = DEFAULT_TTL;
    this.flags = 0;
    this.urgent = 0;
    this.payloadOffset = 0;
    this.payloadLength = 0;
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
    this.fastOpenLength = -1;
    this.fastOpenExperimental = false;
    this.mp = 0;
    this.badOptions = 0;
    this.dssFlags = 0;
    this.capableLength = 0;
    this.joinLength = 0;
    this.dataLength = 0;
    this.checksum = -1;
    this.addAddrPort = 0;
    this.removeCount = 0;
  }
}

const DEFAULT_TTL = 64;
