// A host under test and the raw peer it talks to: packet in, packet out, explicit times. Numbers are relative
// as in the RFC's figures: a SYN has number 0, the first byte 1, on either side. The peer has no behaviour.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import {
  type Config,
  type Connection,
  Host,
  type InterfaceOptions,
  type Listener,
} from '../../src/host/index.ts';
import { type PlainStream, STATE_NAMES, type Tcb } from '../../src/tcp/index.ts';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  headerLength,
  parseAddress,
  Segment,
  verifyChecksum,
  writeChecksum,
} from '../../src/wire/index.ts';

export const HOST = '192.0.2.1';
export const PEER = '192.0.2.2';
/** Where the peer's sequence numbers begin: a few segments before they wrap. */
export const PEER_ISS = 0xffff_f000;
const PEER_TS = 5_000_000;
const EXPERIMENTAL = 'f989:';
const EPHEMERAL = 45_000;

/** What the peer puts into a packet; what is left out follows from what it has seen. */
export interface Fields {
  /** Letters S A F R P U, E (ECE) and C (CWR). */
  flags?: string;
  /** The ECN field of the IP header. */
  ecn?: number;
  seq?: number;
  ack?: number;
  /** The urgent pointer. */
  urgent?: number;
  /** The raw 16 bits. */
  window?: number;
  /** Bytes of the peer's stream from `seq` on. */
  length?: number;
  mss?: number;
  windowScale?: number;
  sackPermitted?: boolean;
  /** False: no timestamps although they were agreed on. */
  timestamps?: boolean;
  tsVal?: number;
  tsEcr?: number;
  sack?: readonly (readonly [number, number])[];
  /** Hexadecimal: '' asks for a cookie; behind `f989:` in the option from before it had a number. */
  fastOpen?: string;
  port?: number;
  address?: string;
}

/** One packet of the host, decoded. */
export interface Packet {
  at: number;
  flags: string;
  ecn: number;
  seq: number;
  ack: number;
  window: number;
  length: number;
  /** PSH. */
  push: boolean;
  payload: Buffer;
  mss: number;
  windowScale: number;
  sackPermitted: boolean;
  hasTimestamps: boolean;
  tsVal: number;
  tsEcr: number;
  /** Hexadecimal; null without the option. */
  fastOpen: string | null;
  sack: [number, number][];
  segmentSize: number;
  ipBytes: number;
  srcPort: number;
  dstPort: number;
}

export interface PeerOptions {
  config?: Partial<Config>;
  link?: Partial<InterfaceOptions>;
  /** Peer's options on its SYN. */
  mss?: number;
  windowScale?: number;
  sack?: boolean;
  timestamps?: boolean;
  /** Raw window of the peer's packets. */
  window?: number;
  hostAddress?: string;
  peerAddress?: string;
  backlog?: number;
  /** Of the listener. */
  fastOpen?: number;
}

/** Byte `offset` of the peer's stream, and of what `write` sends. */
export function byteAt(offset: number): number {
  return (offset * 31 + (offset >> 8) * 7) & 255;
}

export function stream(from: number, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => byteAt(from + i)));
}

export function seededEntropy(seed: number): ConstructorParameters<typeof Host>[0]['entropy'] {
  let state = seed >>> 0 || 1;
  return {
    randomBytes: into => {
      for (let i = 0; i < into.length; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        into[i] = state >>> 24;
      }
    },
    sha256: data => createHash('sha256').update(data).digest(),
    hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
  };
}

export class Peer {
  readonly host: Host;
  readonly interfaceId: number;
  readonly options: PeerOptions;
  listener: Listener | null = null;
  connection!: Connection;
  now = 1_000;
  /** First sequence numbers of both sides. */
  hostIss = 0;
  iss: number = PEER_ISS;
  port = 50_000;
  hostPort = 80;
  /** Defaults of the next packet. */
  seq = 0;
  ack = 0;
  window: number;
  timestamps: boolean;
  /** Newest timestamp of the host. */
  tsEcr = 0;
  /** Every packet the host sent. */
  readonly log: Packet[] = [];
  private written = 1;
  private readonly out: Uint8Array = new Uint8Array(70_000);

  constructor(options: PeerOptions = {}) {
    this.options = options;
    this.window = options.window ?? 65_535;
    this.timestamps = options.timestamps ?? true;
    this.host = new Host({
      entropy: seededEntropy(7),
      config: {
        ...{ ephemeralFirst: EPHEMERAL, ephemeralLast: EPHEMERAL },
        // Buffers that do not grow: auto-tune.test.ts is about those that do.
        ...{ sendBufferInitialBytes: 1 << 22, receiveBufferInitialBytes: 1 << 22 },
        ...options.config,
      },
    });
    this.interfaceId = this.host.addInterface({ address: options.hostAddress ?? HOST, ...options.link });
  }

  get tcb(): Tcb {
    return (this.connection.stream as PlainStream).tcb;
  }

  get state(): string {
    return STATE_NAMES[this.tcb.state];
  }

  get counters(): Host['counters'] {
    return this.host.counters;
  }

  listen(): this {
    const backlog = this.options.backlog === undefined ? {} : { backlog: this.options.backlog };
    const fastOpen = this.options.fastOpen ?? 0;
    this.listener = this.host.listen({ port: this.hostPort, multipath: false, fastOpen, ...backlog });
    return this;
  }

  /** The host opens a connection to the peer's port; returns what it sends. */
  connect(options: { keepAliveMs?: number; fastOpen?: boolean } = {}): Packet[] {
    this.hostPort = EPHEMERAL;
    const remote = { address: this.options.peerAddress ?? PEER, port: this.port };
    const paths = [{ interfaceId: this.interfaceId }];
    this.connection = this.host.connect({ remote, paths, multipath: false, ...options }, this.now);
    return this.sent();
  }

  /** A packet of the peer arrives; returns what the host sends then. */
  arrives(fields: Fields = {}): Packet[] {
    this.receive(fields);
    return this.sent();
  }

  /** A packet of the peer arrives in the same batch as the next one. */
  receive(fields: Fields = {}): void {
    const bytes = this.encode(fields);
    this.host.receive(this.interfaceId, bytes, 0, bytes.length, this.now);
  }

  encode(fields: Fields): Uint8Array {
    const flags = flagBits(fields.flags ?? 'A');
    const s = new Segment();
    const words = new Int32Array(4);
    s.ipVersion = parseAddress(fields.address ?? this.options.peerAddress ?? PEER, words) as 4 | 6;
    [s.src0, s.src1, s.src2, s.src3] = words;
    parseAddress(this.options.hostAddress ?? HOST, words);
    [s.dst0, s.dst1, s.dst2, s.dst3] = words;
    s.srcPort = fields.port ?? this.port;
    s.dstPort = this.hostPort;
    s.flags = flags;
    s.ecn = fields.ecn ?? 0;
    s.urgent = fields.urgent ?? 0;
    const seq = fields.seq ?? this.seq;
    const length = fields.length ?? 0;
    s.seq = (this.iss + seq) >>> 0;
    s.ack = (flags & Flag.ACK) !== 0 ? (this.hostIss + (fields.ack ?? this.ack)) >>> 0 : 0;
    s.window = fields.window ?? this.window;
    s.mss = fields.mss ?? 0;
    s.windowScale = fields.windowScale ?? -1;
    s.sackPermitted = fields.sackPermitted ?? false;
    s.hasTimestamps = fields.timestamps ?? this.timestamps;
    s.tsVal = fields.tsVal ?? PEER_TS + Math.floor(this.now);
    s.tsEcr = fields.tsEcr ?? this.tsEcr;
    for (const [left, right] of fields.sack ?? []) {
      s.sackLeft[s.sackCount] = this.hostIss + left;
      s.sackRight[s.sackCount++] = this.hostIss + right;
    }
    if (fields.fastOpen !== undefined) {
      s.fastOpenExperimental = fields.fastOpen.startsWith(EXPERIMENTAL);
      const cookie = Buffer.from(fields.fastOpen.replace(EXPERIMENTAL, ''), 'hex');
      s.fastOpenLength = cookie.length;
      s.fastOpenCookie.set(cookie);
    }
    s.payloadLength = length;
    const bytes = new Uint8Array(headerLength(s) + length);
    const headers = encodeHeaders(s, bytes, 0);
    const begin = (flags & Flag.SYN) !== 0 ? seq + 1 : seq;
    bytes.set(stream(begin, length), headers);
    writeChecksum(bytes, 0, bytes.length);
    const syn = (flags & Flag.SYN) !== 0 ? 1 : 0;
    const fin = (flags & Flag.FIN) !== 0 ? 1 : 0;
    if (seq === this.seq) this.seq += length + syn + fin;
    return bytes;
  }

  /** Everything the host sends now. */
  sent(): Packet[] {
    const packets: Packet[] = [];
    for (;;) {
      const length = this.host.transmit(this.out, 0, this.now);
      if (length === 0) return packets;
      assert.ok(packets.length < 5_000, 'the host does not stop sending');
      packets.push(this.decode(this.out.slice(0, length)));
    }
  }

  /** Lets time pass; returns what the host sends meanwhile. */
  wait(ms: number): Packet[] {
    const until = this.now + ms;
    const packets = this.sent();
    for (let turns = 0; this.host.nextDeadline() <= until; turns++) {
      assert.ok(turns < 100_000, 'a deadline does not move');
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      packets.push(...this.sent());
    }
    this.now = until;
    return packets;
  }

  /** The application writes the next `length` bytes of the test stream; returns what the host sends. */
  write(length: number): Packet[] {
    assert.equal(this.connection.write(stream(this.written, length), 0, length, this.now), length);
    this.written += length;
    return this.sent();
  }

  /** What the application reads now. */
  read(length: number = 1 << 24): Buffer {
    const into = Buffer.alloc(Math.min(length, this.connection.readableBytes));
    const taken = this.connection.read(into, 0, into.length, this.now);
    return into.subarray(0, taken);
  }

  /** Accepts the oldest connection of the listener. */
  accept(): Connection {
    const connection = this.listener?.accept();
    assert.ok(connection, 'no connection to accept');
    this.connection = connection;
    return connection;
  }

  /** The one connection of the host, accepted or not. */
  adopt(): Connection {
    [this.connection] = [...this.host.connections];
    return this.connection;
  }

  private decode(bytes: Uint8Array): Packet {
    const s = new Segment();
    assert.ok(decodePacket(s, bytes, 0, bytes.length), 'the host sent something malformed');
    if (!this.options.link?.checksumOffload) assert.ok(verifyChecksum(bytes, 0, bytes.length));
    if ((s.flags & Flag.SYN) !== 0) this.hostIss = s.seq;
    const seq = (s.seq - this.hostIss) | 0;
    const ack = (s.flags & Flag.ACK) !== 0 ? (s.ack - this.iss) | 0 : 0;
    if (s.hasTimestamps) this.tsEcr = s.tsVal;
    const span = s.payloadLength + (s.flags & Flag.SYN ? 1 : 0) + (s.flags & Flag.FIN ? 1 : 0);
    if ((s.flags & Flag.RST) === 0 && s.dstPort === this.port) this.ack = Math.max(this.ack, seq + span);
    const sack: [number, number][] = [];
    for (let i = 0; i < s.sackCount; i++) {
      sack.push([(s.sackLeft[i] - this.iss) | 0, (s.sackRight[i] - this.iss) | 0]);
    }
    const packet: Packet = {
      ...{ at: this.now, flags: flagLetters(s.flags), ecn: s.ecn, seq, ack, window: s.window },
      length: s.payloadLength,
      push: (s.flags & Flag.PSH) !== 0,
      payload: Buffer.from(bytes.subarray(s.payloadOffset, s.payloadOffset + s.payloadLength)),
      ...{ mss: s.mss, windowScale: s.windowScale, sackPermitted: s.sackPermitted, sack },
      ...{ hasTimestamps: s.hasTimestamps, tsVal: s.tsVal, tsEcr: s.tsEcr },
      ...{ segmentSize: this.host.transmitSegmentSize, ipBytes: bytes.length },
      ...{ srcPort: s.srcPort, dstPort: s.dstPort },
      fastOpen:
        s.fastOpenLength < 0
          ? null
          : (s.fastOpenExperimental ? EXPERIMENTAL : '') +
            Buffer.from(s.fastOpenCookie).toString('hex', 0, s.fastOpenLength),
    };
    this.log.push(packet);
    return packet;
  }
}

/** A SYN of the peer has been answered; its acknowledgement has not come. */
export function synReceived(options: PeerOptions = {}): Peer {
  const peer = new Peer(options).listen();
  const [synAck] = peer.arrives({ flags: 'S', ...synOptions(options) });
  assert.equal(synAck?.flags, 'SA');
  peer.adopt();
  return peer;
}

/** The host has sent its SYN. */
export function synSent(options: PeerOptions = {}): Peer {
  const peer = new Peer(options);
  assert.equal(peer.connect()[0]?.flags, 'S');
  return peer;
}

/** The peer has opened a connection to the host, which was accepted. */
export function established(options: PeerOptions = {}): Peer {
  const peer = synReceived(options);
  peer.arrives({ flags: 'A' });
  assert.equal(peer.state, 'ESTABLISHED');
  peer.accept();
  return peer;
}

/** The host has opened a connection to the peer. */
export function connected(options: PeerOptions = {}): Peer {
  const peer = synSent(options);
  peer.arrives({ flags: 'SA', ...synOptions(options) });
  assert.equal(peer.state, 'ESTABLISHED');
  return peer;
}

/** The host's 16 acknowledgements without delay are used up. */
export function delayingAcks(options: PeerOptions = {}): Peer {
  const peer = established(options);
  for (let i = 0; i < 16; i++) peer.arrives({ length: 1000 });
  peer.read();
  peer.arrives({ length: 1000 });
  peer.wait(1000);
  peer.read();
  peer.sent();
  return peer;
}

/** The host shut down first and is in TIME-WAIT. */
export function timeWait(options: PeerOptions = {}): Peer {
  const peer = established(options);
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.arrives({ flags: 'FA' });
  assert.equal(peer.state, 'TIME-WAIT');
  return peer;
}

export function synOptions(options: PeerOptions): Fields {
  return {
    mss: options.mss ?? 1460,
    windowScale: options.windowScale ?? 0,
    sackPermitted: options.sack ?? true,
    timestamps: options.timestamps ?? true,
  };
}

/** [flags, seq, ack, length] of each packet: what most tests compare. */
export function brief(packets: readonly Packet[]): [string, number, number, number][] {
  return packets.map(p => [p.flags, p.seq, p.ack, p.length]);
}

const LETTERS: readonly (readonly [string, number])[] = [
  ['S', Flag.SYN],
  ['F', Flag.FIN],
  ['R', Flag.RST],
  ['P', Flag.PSH],
  ['U', Flag.URG],
  ['A', Flag.ACK],
  ['E', Flag.ECE],
  ['C', Flag.CWR],
];

function flagBits(letters: string): number {
  let bits = 0;
  for (const [letter, bit] of LETTERS) if (letters.includes(letter)) bits |= bit;
  return bits;
}

/** PSH is left out: most tests do not ask for it. */
function flagLetters(bits: number): string {
  let letters = '';
  for (const [letter, bit] of LETTERS) if ((bits & bit) !== 0 && letter !== 'P') letters += letter;
  return letters;
}
