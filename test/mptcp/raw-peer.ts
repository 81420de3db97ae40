// A peer made by hand: a Host listens, the test plays the client packet by packet, with every field in its
// power.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { type Config, type Connection, Host } from '../../src/host/index.ts';
import {
  CapableFlag,
  DssFlag,
  Flag,
  foldChecksum,
  Mp,
  onesComplementSum,
  parseAddress,
  Segment,
} from '../../src/wire/index.ts';
import { decoded, encode, PORT, seededEntropy } from './world.ts';

const none: Uint8Array = new Uint8Array(0);
const HOST = '10.9.0.1';

/** One TCP connection as the hand-made client sees it. */
export interface Flow {
  port: number;
  /** Relative numbers: our next byte and the host's next byte (SYN = 0). */
  ssn: number;
  rcvNxt: number;
  irs: number;
}

const ISS = 5000;

export class RawPeer {
  now = 1000;
  readonly host: Host;
  readonly interfaceId: number;
  readonly listener: ReturnType<Host['listen']>;
  readonly key: Buffer = Buffer.from('0102030405060708', 'hex');
  hostKey: Buffer = Buffer.alloc(8);
  checksum: boolean;
  /** In every segment, unless said otherwise. */
  window: number;
  connection: Connection | null = null;
  private readonly words: Int32Array = new Int32Array(4);

  constructor(options: { config?: Partial<Config>; checksum?: boolean; window?: number } = {}) {
    this.checksum = options.checksum ?? false;
    this.window = options.window ?? 60_000;
    this.host = new Host({ entropy: seededEntropy(3), config: options.config ?? {} });
    this.interfaceId = this.host.addInterface({ address: HOST });
    this.listener = this.host.listen({ port: PORT });
    parseAddress('10.1.0.1', this.words);
  }

  /** Our first DSN minus one, as 64 bits. */
  get idsn(): bigint {
    return createHash('sha256').update(this.key).digest().readBigUInt64BE(24);
  }

  get hostIdsn(): bigint {
    return createHash('sha256').update(this.hostKey).digest().readBigUInt64BE(24);
  }

  /** A segment of `flow` with the numbers it would have now. */
  segment(flow: Flow, fields: Partial<Segment> = {}): Segment {
    const segment = new Segment();
    const to = new Int32Array(4);
    parseAddress(HOST, to);
    const [src0, src1, src2, src3] = this.words;
    const [dst0, dst1, dst2, dst3] = to;
    const seq = (ISS + flow.ssn) >>> 0;
    const ack = (flow.irs + flow.rcvNxt) >>> 0;
    const common = { ipVersion: 4 as const, src0, src1, src2, src3, dst0, dst1, dst2, dst3 };
    const base = {
      ...common,
      srcPort: flow.port,
      dstPort: PORT,
      seq,
      ack,
      flags: Flag.ACK,
      window: this.window,
    };
    return Object.assign(segment, base, fields);
  }

  /** A segment without payload as it is on the wire. */
  bytesOf(segment: Segment): Uint8Array {
    return encode(segment, none);
  }

  /** Hands a packet to the host and returns what it sends in answer. */
  put(segment: Segment, payload: Uint8Array = none): Segment[] {
    const bytes = encode(segment, payload);
    this.host.receive(this.interfaceId, bytes, 0, bytes.length, this.now);
    return this.take();
  }

  /** Everything the host has to send now. */
  take(): Segment[] {
    const out = new Uint8Array(70_000);
    const sent: Segment[] = [];
    for (let n = this.host.nextReady(); n !== undefined; n = this.host.nextReady()) {
      n.takeEvents();
      this.connection ??= this.listener.accept() ?? null;
    }
    for (let n = this.host.transmit(out, 0, this.now); n > 0; n = this.host.transmit(out, 0, this.now)) {
      sent.push(decoded(out.slice(0, n)));
    }
    return sent;
  }

  /** Lets time pass; returns what the host sends meanwhile. */
  wait(ms: number): Segment[] {
    const end = this.now + ms;
    const sent: Segment[] = [];
    while (this.host.nextDeadline() <= end) {
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      sent.push(...this.take());
    }
    this.now = end;
    return sent;
  }

  /** MP_CAPABLE handshake; the connection is established and not yet confirmed. */
  open(port = 1111): Flow {
    const flow: Flow = { port, ssn: 0, rcvNxt: 0, irs: 0 };
    const flags = CapableFlag.HMAC_SHA256 | (this.checksum ? CapableFlag.CHECKSUM : 0);
    const capable = { mp: Mp.CAPABLE, capableVersion: 1, capableFlags: flags };
    const syn = this.segment(flow, { flags: Flag.SYN, mss: 1400, ...capable, capableLength: 4, ack: 0 });
    const [synAck] = this.put(syn);
    flow.irs = synAck.seq;
    flow.rcvNxt = flow.ssn = 1;
    this.hostKey.writeUInt32BE(synAck.senderKeyHi, 0);
    this.hostKey.writeUInt32BE(synAck.senderKeyLo, 4);
    const keys = {
      senderKeyHi: this.key.readUInt32BE(0),
      senderKeyLo: this.key.readUInt32BE(4),
      receiverKeyHi: synAck.senderKeyHi,
      receiverKeyLo: synAck.senderKeyLo,
    };
    assert.equal(this.put(this.segment(flow, { ...capable, ...keys, capableLength: 20 })).length, 0);
    return flow;
  }

  /** MP_JOIN handshake on another port. */
  join(port: number): Flow {
    const flow: Flow = { port, ssn: 0, rcvNxt: 0, irs: 0 };
    const joinToken = createHash('sha256').update(this.hostKey).digest().readUInt32BE(0);
    const joinNonce = 0x11223344;
    const join = { mp: Mp.JOIN, joinLength: 12, joinToken, joinNonce, joinAddressId: 1 };
    const [synAck] = this.put(this.segment(flow, { flags: Flag.SYN, mss: 1400, ...join, ack: 0 }));
    flow.irs = synAck.seq;
    flow.rcvNxt = flow.ssn = 1;
    const nonces = Buffer.alloc(8);
    nonces.writeUInt32BE(joinNonce, 0);
    nonces.writeUInt32BE(synAck.joinNonce, 4);
    const hmac = createHmac('sha256', Buffer.concat([this.key, this.hostKey]))
      .update(nonces)
      .digest();
    const third = this.segment(flow, { mp: Mp.JOIN, joinLength: 24 });
    third.joinHmac.set(hmac.subarray(0, 20));
    assert.equal(this.put(third).length, 1, 'the fourth ACK');
    return flow;
  }

  /** Data with a mapping: `dsn` counts from 1; the flow moves on unless `at` says where the segment lies. */
  data(flow: Flow, options: DataOptions): Segment[] {
    const ssn = options.ssn ?? flow.ssn;
    const map = options.map ?? { ssn, dsn: options.dsn, length: options.bytes.length };
    const fields = this.mapping({ ...options, ...map, ssn: map.ssn ?? ssn, payload: options.bytes });
    const segment = this.segment(flow, { seq: (ISS + ssn) >>> 0, flags: Flag.ACK | Flag.PSH, ...fields });
    if (options.ssn === undefined) flow.ssn += options.bytes.length;
    return this.put(segment, options.bytes);
  }

  /** DSS fields of a mapping. */
  mapping(options: MappingOptions): Partial<Segment> {
    const wide = options.wide ?? true;
    const dsn = BigInt.asUintN(64, this.idsn + BigInt(options.dsn));
    const hi = Number(dsn >> 32n);
    const lo = Number(dsn & 0xffffffffn);
    const ack = BigInt.asUintN(64, this.hostIdsn + BigInt(options.dataAck ?? 1));
    const length = options.length + (options.fin ? 1 : 0);
    let checksum = -1;
    if (this.checksum) {
      const header = (hi >>> 16) + (hi & 0xffff) + (lo >>> 16) + (lo & 0xffff) + options.ssn + length;
      const payload = options.payload.subarray(0, options.length);
      checksum = foldChecksum(onesComplementSum(payload, 0, payload.length) + header);
    }
    if (options.checksum !== undefined) checksum = options.checksum;
    const flags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64 | DssFlag.MAP | (wide ? DssFlag.DSN_64 : 0);
    return {
      mp: Mp.DSS,
      dssFlags: flags | (options.fin ? DssFlag.DATA_FIN : 0),
      dataAckHi: Number(ack >> 32n),
      dataAckLo: Number(ack & 0xffffffffn),
      dsnHi: wide ? hi : 0,
      dsnLo: lo,
      ssn: options.ssn,
      dataLength: length,
      checksum,
    };
  }

  /** DATA_ACK of a segment as a count of our bytes (1 = nothing yet). */
  dataAck(segment: Segment): number {
    const wide = (segment.dssFlags & DssFlag.DATA_ACK_64) !== 0;
    const ack = (BigInt(wide ? segment.dataAckHi : 0) << 32n) | BigInt(segment.dataAckLo);
    return Number(BigInt.asUintN(wide ? 64 : 32, ack - this.idsn));
  }

  /** What the application has been given. */
  read(): Uint8Array {
    const into = new Uint8Array(100_000);
    const n = this.connection?.read(into, 0, into.length, this.now) ?? 0;
    return into.slice(0, n);
  }
}

export interface DataOptions {
  bytes: Uint8Array;
  dsn: number;
  /** Where the segment lies; the flow's next byte when absent. */
  ssn?: number;
  /** The mapping it carries when it is not its own. */
  map?: { ssn: number; dsn: number; length: number };
  wide?: boolean;
  fin?: boolean;
  checksum?: number;
  dataAck?: number;
}

interface MappingOptions {
  ssn: number;
  dsn: number;
  length: number;
  payload: Uint8Array;
  wide?: boolean;
  fin?: boolean;
  checksum?: number;
  dataAck?: number;
}
