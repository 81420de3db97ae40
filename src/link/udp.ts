// The link that needs no privileges: TCP-in-UDP over node:dgram. The TCP ports are the UDP ports; a client's
// flow is a connected socket of its own, a server's port one socket for everybody.
//
// Decides: which socket a packet leaves by (its local port), where an answer goes (to the address observed,
// because that is the source of the packets the host is given), what happens when the kernel is full (drop
// and
// count: it is a queue, and TCP knows queues) and when it refuses a size (the mtu falls, not below 1,280).
// Read: docs/ARCHITECTURE.md on carriers; RFC 8899 §3 for what refusals of size are worth.
// Walk: api/driver → here → wire/split → wire/udp-encap → dgram, and back through wire/udp-encap.

import type { RemoteInfo, Socket } from 'node:dgram';
import {
  type Datagram,
  decapsulate,
  encapsulate,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  type SplitSink,
  splitPacket,
} from '../wire/index.ts';
import { readI32, readU16 } from '../wire/octets.ts';
import type { LinkSink, PortedLink, RemoteEndpoint } from './link.ts';
import { type PeerName, PeerNames, peerName, sameWords } from './peer-names.ts';
import { SlotPool, UnsettledSends } from './slots.ts';
import { isIpv6Text, openUdpSocket } from './udp-socket.ts';

/** How a udp link is made. */
export interface UdpLinkOptions {
  /** The local address, literal; an IPv6 link-local one with its zone. */
  readonly address: string;
  readonly name?: string;
  /** Largest IP packet; 1,400 bytes unless told, which passes most tunnels. */
  readonly mtu?: number;
  /** Datagrams the kernel has not taken yet, before more are dropped. */
  readonly heldLimit?: number;
  /** How sockets are opened; tests hand in their own. */
  readonly openSocket?: typeof openUdpSocket;
}

/** One local port and its socket. */
interface UdpPort {
  readonly socket: Socket;
  readonly localPort: number;
  /** A flow's only peer; a listener has none. */
  readonly peer: PeerName | undefined;
  readonly peerPort: number;
  readonly unsettled: UnsettledSends;
  /** The callback of every send. */
  readonly settled: (error: Error | null) => void;
}

/** TCP-in-UDP on one local address. */
export class UdpLink implements PortedLink {
  readonly address: string;
  readonly name: string;
  readonly gsoMax: number = 65_535;
  // UDP's own checksum covers the datagram, and the kernel sees to it.
  readonly checksumOffload: boolean = true;
  readonly counters: Record<string, number> = {
    datagramsSent: 0,
    datagramsReceived: 0,
    malformed: 0,
    unknownSender: 0,
    noSocket: 0,
    kernelFull: 0,
    sendErrors: 0,
    tooLarge: 0,
    refused: 0,
    socketErrors: 0,
  };
  readonly #ports: Map<number, UdpPort> = new Map();
  readonly #retired: Set<number> = new Set();
  readonly #openSocket: typeof openUdpSocket;
  readonly #names: PeerNames = new PeerNames();
  readonly #slots: SlotPool;
  readonly #pieces: SplitSink;
  readonly #datagram: { -readonly [K in keyof Datagram]: Datagram[K] };
  #mtu: number;
  #sink: LinkSink | undefined;
  #lastPort: UdpPort | undefined;
  #closed = false;
  /** Sends whose callback has not come, and those of them that were under way when the mtu fell. */
  #unsettled = 0;
  #staleSends = 0;
  // Of the packet being sent: what `#sendPiece` needs.
  #slot: Buffer | undefined;
  #port: UdpPort | undefined;
  #toPort = 0;
  #toText = '';

  constructor(options: UdpLinkOptions) {
    const local = peerName(options.address);
    if (local === undefined) throw new TypeError(`not an IP address: ${options.address}`);
    this.address = options.address;
    this.name = options.name ?? options.address;
    this.#openSocket = options.openSocket ?? openUdpSocket;
    this.#mtu = options.mtu ?? DEFAULT_MTU;
    this.#slots = new SlotPool(this.#mtu, options.heldLimit ?? HELD_LIMIT);
    this.#pieces = this.#splitSink();
    this.#datagram = {
      ipVersion: isIpv6Text(options.address) ? 6 : 4,
      src0: 0,
      src1: 0,
      src2: 0,
      src3: 0,
      dst0: local.words[0],
      dst1: local.words[1],
      dst2: local.words[2],
      dst3: local.words[3],
      dscp: 0,
      ecn: 0,
      ttl: 64,
      srcPort: 0,
      dstPort: 0,
      bytes: NO_BYTES,
      offset: 0,
      length: 0,
      out: NO_BYTES,
      outOffset: 0,
    };
  }

  get mtu(): number {
    return this.#mtu;
  }

  get openPorts(): number {
    return this.#ports.size;
  }

  attach(sink: LinkSink): void {
    this.#sink = sink;
  }

  async openFlow(remote: RemoteEndpoint): Promise<number> {
    const peer = peerName(remote.address);
    if (peer === undefined) throw new TypeError(`not an IP address: ${remote.address}`);
    return this.#open(0, { peer, port: remote.port });
  }

  async openListener(port: number): Promise<number> {
    // The system would call it taken: by the connections of the listener before.
    if (this.#retired.delete(port)) return port;
    return this.#open(port, undefined);
  }

  retirePort(localPort: number): void {
    if (this.#ports.has(localPort)) this.#retired.add(localPort);
  }

  isRetired(localPort: number): boolean {
    return this.#retired.has(localPort);
  }

  releasePort(localPort: number): void {
    const port = this.#ports.get(localPort);
    if (port === undefined) return;
    this.#ports.delete(localPort);
    this.#retired.delete(localPort);
    if (this.#lastPort === port) this.#lastPort = undefined;
    port.socket.close();
  }

  close(): void {
    this.#closed = true;
    for (const port of [...this.#ports.keys()]) this.releasePort(port);
  }

  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void {
    const ipv4 = bytes[offset] >> 4 === 4;
    const tcp = offset + (ipv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    const port = this.#portOf(readU16(bytes, tcp));
    this.#toPort = readU16(bytes, tcp + 2);
    if (port === undefined || this.#toPort === 0) {
      this.counters['noSocket']++;
      return;
    }
    const to = offset + (ipv4 ? 16 : 24);
    const w0 = ipv4 ? 0 : readI32(bytes, to);
    const w1 = ipv4 ? 0 : readI32(bytes, to + 4);
    const w2 = ipv4 ? V4_MAPPED : readI32(bytes, to + 8);
    const w3 = ipv4 ? readI32(bytes, to) : readI32(bytes, to + 12);
    if (port.peer === undefined) {
      this.#toText = this.#names.fromWords(w0, w1, w2, w3).text;
    } else if (port.peerPort !== this.#toPort || !sameWords(port.peer.words, w0, w1, w2, w3)) {
      this.counters['noSocket']++;
      return;
    }
    this.#port = port;
    // A pure acknowledgement has no payload to split; any size does.
    splitPacket(bytes, offset, length, segmentSizeBytes > 0 ? segmentSizeBytes : length, this.#pieces);
  }

  async #open(localPort: number, to: { peer: PeerName; port: number } | undefined): Promise<number> {
    // A datagram may come before its port is known; nobody can have been told to write to it yet.
    let port: UdpPort | undefined;
    const socket: Socket = await this.#openSocket({
      local: { address: this.address, port: localPort },
      ...(to === undefined ? {} : { remote: { address: to.peer.text, port: to.port } }),
      onMessage: (message, from) => this.#onMessage(port, message, from),
      onError: error => this.#onError(port, error),
    });
    const opened: UdpPort = {
      socket,
      localPort: socket.address().port,
      peer: to?.peer,
      peerPort: to?.port ?? 0,
      unsettled: new UnsettledSends(),
      settled: error => this.#onSettled(opened, error),
    };
    port = opened;
    if (this.#closed) {
      socket.close();
      throw Object.assign(new Error('the link was closed'), { code: 'EADDRNOTAVAIL' });
    }
    this.#ports.set(port.localPort, port);
    return port.localPort;
  }

  #portOf(localPort: number): UdpPort | undefined {
    const last = this.#lastPort;
    if (last !== undefined && last.localPort === localPort) return last;
    const port = this.#ports.get(localPort);
    if (port !== undefined) this.#lastPort = port;
    return port;
  }

  #splitSink(): SplitSink {
    const slots = this.#slots;
    const setSlot = (slot: Buffer | undefined): Uint8Array => {
      this.#slot = slot;
      return slot ?? scrap(this.#mtu);
    };
    const piece = (length: number) => this.#sendPiece(length);
    return {
      get buffer() {
        return setSlot(slots.current());
      },
      offset: 0,
      checksum: false,
      piece,
    };
  }

  #sendPiece(length: number): void {
    const slot = this.#slot;
    const port = this.#port;
    if (slot === undefined || port === undefined) {
      this.counters['kernelFull']++;
      return;
    }
    const start = encapsulate(slot, 0, length);
    if (start < 0) {
      this.counters['malformed']++;
      return;
    }
    const { socket, unsettled, settled } = port;
    this.#unsettled++;
    this.counters['datagramsSent']++;
    if (port.peer !== undefined) socket.send(slot, start, length - start, settled);
    else socket.send(slot, start, length - start, this.#toPort, this.#toText, settled);
    // Nothing queued: the kernel has the bytes, and the slot serves the next datagram.
    if (socket.getSendQueueCount() === 0) {
      unsettled.addDone();
      return;
    }
    unsettled.addHeld(slot);
    this.#slots.hold();
  }

  #onSettled(port: UdpPort, error: Error | null): void {
    const slot = port.unsettled.settle();
    if (slot !== undefined) this.#slots.release(slot);
    this.#unsettled--;
    const stale = this.#staleSends > 0;
    if (stale) this.#staleSends--;
    if (error === null || this.#closed) return;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') {
      // What ICMP said to an earlier datagram, told to whoever comes next.
      this.#refused(port);
      return;
    }
    this.counters['sendErrors']++;
    if (code !== 'EMSGSIZE') return;
    this.counters['tooLarge']++;
    if (!stale) this.#lowerMtu();
  }

  /** One step down. What is on its way was made for the old size and says nothing about the new one. */
  #lowerMtu(): void {
    const next = MTU_STEPS.find(step => step < this.#mtu);
    if (next === undefined) return;
    this.#mtu = next;
    this.#staleSends = this.#unsettled;
    this.#sink?.mtuChanged(this);
  }

  #onMessage(port: UdpPort | undefined, message: Buffer, from: RemoteInfo): void {
    if (port === undefined || this.#closed || this.#sink === undefined) return;
    this.counters['datagramsReceived']++;
    const name = this.#names.fromText(from.address);
    if (name === undefined || from.port === 0) {
      this.counters['malformed']++;
      return;
    }
    const { words } = name;
    // A socket hears everybody between its bind and its connect.
    if (
      port.peer !== undefined &&
      (port.peerPort !== from.port || !sameWords(port.peer.words, words[0], words[1], words[2], words[3]))
    ) {
      this.counters['unknownSender']++;
      return;
    }
    const datagram = this.#datagram;
    datagram.src0 = words[0];
    datagram.src1 = words[1];
    datagram.src2 = words[2];
    datagram.src3 = words[3];
    datagram.srcPort = from.port;
    datagram.dstPort = port.localPort;
    datagram.bytes = message;
    datagram.length = message.length;
    received ??= new Uint8Array(LARGEST_PACKET);
    datagram.out = received;
    const length = decapsulate(datagram);
    datagram.bytes = NO_BYTES;
    if (length === 0) this.counters['malformed']++;
    else this.#sink.packet(this, received, 0, length);
  }

  #onError(port: UdpPort | undefined, error: Error): void {
    const { code } = error as NodeJS.ErrnoException;
    // ICMP "port unreachable"; Windows calls it a reset.
    if (code !== 'ECONNREFUSED' && code !== 'ECONNRESET') {
      this.counters['socketErrors']++;
      return;
    }
    this.#refused(port);
  }

  #refused(port: UdpPort | undefined): void {
    this.counters['refused']++;
    if (port?.peer !== undefined) this.#sink?.refused(this, port.localPort);
  }
}

/** Where pieces go that no slot is free for. */
function scrap(bytes: number): Uint8Array {
  if (scrapBytes.length < bytes) scrapBytes = new Uint8Array(bytes);
  return scrapBytes;
}

const DEFAULT_MTU = 1400;
const HELD_LIMIT = 256;
const V4_MAPPED = 0xffff;
const LARGEST_PACKET = 65_535;
/** Sizes common on the way, largest first; the last is IPv6's smallest. */
const MTU_STEPS = [9000, 4352, 2002, 1500, 1492, 1460, 1400, 1360, 1320, 1280];
const NO_BYTES = new Uint8Array(0);
let scrapBytes: Uint8Array = NO_BYTES;
/** One packet is handed over at a time, in one thread: every link decapsulates into the same memory. */
let received: Uint8Array | undefined;
