// The speed of light for a stack in JavaScript over a TUN device: a client that speaks just enough Multipath TCP
// for the Linux kernel to send to it, or receive from it, at full speed, and copies every byte once.
//
// It does the MP_CAPABLE handshake, one DSS a packet, the DATA_ACK and window of both levels, one acknowledgement
// for all that was read in a row. It does not do: reordering, congestion, scheduling, an orderly end; of loss the
// least that goes on.
// What it sends is always the same, so that even its checksums are known before.
// Read: RFC 8684 §3.1, §3.3; RFC 9293 §3.1. Compare: src/link/tun.ts and all above it.

import { createHash, randomBytes } from 'node:crypto';
import type { TunDevice } from '../src/link/tun-device.ts';
import { foldChecksum, onesComplementSum } from '../src/wire/index.ts';

export interface DumbOptions {
  readonly device: TunDevice;
  readonly local: string;
  readonly remote: string;
  readonly port: number;
  /** Sends what its window lets it, or only receives. */
  readonly sends: boolean;
}

export class DumbEndpoint {
  /** Payload bytes copied to the application. */
  received = 0;
  readonly #device: TunDevice;
  readonly #sends: boolean;
  readonly #in: Uint8Array = new Uint8Array(LARGEST_READ);
  readonly #inView: DataView = new DataView(this.#in.buffer);
  readonly #ring: Uint8Array = new Uint8Array(RING_BYTES);
  #ringAt = 0;
  readonly #content: Uint8Array = new Uint8Array(LARGEST_PACKET).map((_, i) => i);
  /** The checksum of so many bytes of it. */
  #contentBytes = -1;
  #contentSum = 0;
  readonly #ack: Template;
  readonly #data: Template;
  readonly #key: Buffer = randomBytes(8);
  /** The peer's and ours, as they stand in its packets. */
  readonly #ports: number;
  #open = false;
  /** Of both directions: the first number of the subflow, and of the data; then offsets from it. */
  readonly #isn: number = randomBytes(4).readUInt32BE();
  readonly #idsn: Wide = initialNumber(this.#key);
  #peerIsn = 0;
  #peerIdsn: Wide = { hi: 0, lo: 0 };
  #sndNxt = 0;
  #sndUna = 0;
  #dataUna = 0;
  #unaBefore = 0;
  #sndRight = 0;
  #peerScale = 0;

  constructor(options: DumbOptions) {
    this.#device = options.device;
    this.#sends = options.sends;
    this.#ports = ((options.port << 16) | LOCAL_PORT) >>> 0;
    this.#ack = new Template(options, DSS_ACK_BYTES);
    this.#data = new Template(options, DSS_MAP_BYTES);
    options.device.watch(() => this.#onReadable());
    if (options.sends) setInterval(() => this.#recover(), RECOVERY_MS).unref();
    const syn = new Template(options, 12);
    syn.view.setUint32(syn.tcp + 4, this.#isn);
    syn.view.setUint8(syn.tcp + 13, SYN);
    // MSS, window scale, MP_CAPABLE version 1 with HMAC-SHA256.
    syn.bytes.set([2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, SCALE, 30, 4, 0x01, 0x01], syn.options);
    syn.write(0, 0);
  }

  #onReadable(): void {
    const { headerBytes } = this.#device;
    const before = this.received;
    for (let read = 0; read < BATCH; read++) {
      const length = this.#device.read(this.#in);
      if (length <= headerBytes) break;
      // What the kernel still has to say on an older connection is not for us.
      if (this.#inView.getUint32(headerBytes + 20) !== this.#ports) continue;
      if (this.#open) this.#receive(headerBytes, length);
      else this.#establish(headerBytes);
    }
    if (!this.#open) return;
    if (this.#sends) this.#send();
    else if (this.received !== before) this.#acknowledge();
  }

  /** SYN/ACK: the peer's numbers and key; answers with both keys. */
  #establish(ip: number): void {
    const view = this.#inView;
    const tcp = ip + 20;
    if (view.getUint8(ip) !== 0x45 || view.getUint8(tcp + 13) !== (SYN | ACK)) return;
    this.#peerIsn = (view.getUint32(tcp + 4) + 1) >>> 0;
    this.#sndRight = view.getUint16(tcp + 14);
    const capable = this.#option(tcp, 30);
    const scale = this.#option(tcp, 3);
    if (capable < 0 || view.getUint8(capable + 1) !== 12) throw new Error('the kernel does not speak MPTCP');
    if (scale >= 0) this.#peerScale = view.getUint8(scale + 2);
    const peerKey = this.#in.slice(capable + 4, capable + 12);
    this.#peerIdsn = initialNumber(peerKey);
    const third = new Template({ ...this.#ack.ends, device: this.#device }, 20);
    third.view.setUint32(third.tcp + 4, (this.#isn + 1) >>> 0);
    third.view.setUint32(third.tcp + 8, this.#peerIsn);
    third.bytes.set([30, 20, 0x01, 0x01, ...this.#key, ...peerKey], third.options);
    third.write(0, 0);
    this.#open = true;
    this.#acknowledge();
  }

  #receive(ip: number, length: number): void {
    const view = this.#inView;
    const tcp = ip + 20;
    const payload = tcp + ((view.getUint8(tcp + 12) >> 4) << 2);
    const payloadBytes = length - payload;
    this.#sndUna += (view.getUint32(tcp + 8) - (this.#isn + 1 + this.#sndUna)) | 0;
    if (this.#sndNxt < this.#sndUna) this.#sndNxt = this.#sndUna;
    const dss = this.#option(tcp, 30);
    if (dss < 0 || view.getUint8(dss + 2) >> 4 !== 2) return;
    const flags = view.getUint8(dss + 3);
    const dataAckBytes = (flags & 1) === 0 ? 0 : (flags & 2) === 0 ? 4 : 8;
    if (dataAckBytes > 0) {
      // The low half, which comes last, says how far it has moved.
      this.#dataUna += (view.getUint32(dss + dataAckBytes) - (this.#idsn.lo + 1 + this.#dataUna)) | 0;
      const right = this.#dataUna + view.getUint16(tcp + 14) * 2 ** this.#peerScale;
      if (right > this.#sndRight) this.#sndRight = right;
    }
    if (payloadBytes === 0 || (flags & 4) === 0) return;
    if (view.getUint32(tcp + 4) !== (this.#peerIsn + this.received) >>> 0) return;
    if (this.#ringAt + payloadBytes > RING_BYTES) this.#ringAt = 0;
    this.#ring.set(this.#in.subarray(payload, length), this.#ringAt);
    this.#ringAt += payloadBytes;
    this.received += payloadBytes;
  }

  #acknowledge(): void {
    const { view, tcp, options } = this.#ack;
    view.setUint32(tcp + 4, (this.#isn + 1 + this.#sndNxt) >>> 0);
    view.setUint32(tcp + 8, (this.#peerIsn + this.received) >>> 0);
    view.setUint32(options, (30 << 24) | (DSS_ACK_BYTES << 16) | (2 << 12) | 3);
    writeNumber(view, options + 4, this.#peerIdsn, this.received);
    this.#ack.write(0, 0);
  }

  /** A burst within the window; when there is more to send, the next event of the loop goes on. */
  #send(): void {
    const most = this.#device.headerBytes > 0 ? SUPER_SEGMENT : MSS - DSS_MAP_BYTES;
    let sent = 0;
    for (; sent < BURST; sent++) {
      const room = this.#sndRight - this.#sndNxt;
      const length = room >= most || this.#sndNxt === this.#sndUna ? Math.min(room, most) : 0;
      if (length <= 0) return;
      this.#sendData(length);
    }
    setImmediate(() => this.#onReadable());
  }

  /** The kernel drops what comes while its socket is busy for too long: from what it has, all again. */
  #recover(): void {
    if (this.#sndUna === this.#unaBefore && this.#sndNxt > this.#sndUna) {
      this.#sndNxt = this.#sndUna;
      this.#send();
    }
    this.#unaBefore = this.#sndUna;
  }

  #sendData(length: number): void {
    const { view, bytes, tcp, options, payload } = this.#data;
    view.setUint32(tcp + 4, (this.#isn + 1 + this.#sndNxt) >>> 0);
    view.setUint32(tcp + 8, (this.#peerIsn + this.received) >>> 0);
    view.setUint32(options, (30 << 24) | ((DSS_MAP_BYTES - 2) << 16) | (2 << 12) | 15);
    writeNumber(view, options + 4, this.#peerIdsn, this.received);
    writeNumber(view, options + 12, this.#idsn, this.#sndNxt);
    view.setUint32(options + 20, (1 + this.#sndNxt) >>> 0);
    view.setUint16(options + 24, length);
    view.setUint16(options + 26, 0x0101);
    bytes.set(this.#content.subarray(0, length), payload);
    if (this.#contentBytes !== length) {
      this.#contentBytes = length;
      this.#contentSum = onesComplementSum(this.#content, 0, length);
    }
    this.#data.write(length, this.#contentSum);
    this.#sndNxt += length;
  }

  /** Where the first option of this kind begins; -1 when there is none. */
  #option(tcp: number, kind: number): number {
    const bytes = this.#in;
    const end = tcp + ((bytes[tcp + 12] >> 4) << 2);
    for (let at = tcp + 20; at < end && bytes[at] !== 0; at += bytes[at] === 1 ? 1 : bytes[at + 1]) {
      if (bytes[at] === kind) return at;
    }
    return -1;
  }
}

/** A packet of which only a few fields change. */
class Template {
  readonly bytes: Uint8Array = new Uint8Array(LARGEST_READ);
  readonly view: DataView = new DataView(this.bytes.buffer);
  readonly tcp: number;
  readonly options: number;
  readonly payload: number;
  readonly ends: Omit<DumbOptions, 'device'>;
  readonly #device: TunDevice;
  readonly #ip: number;
  #payloadBytes = -1;
  #pseudoSum = 0;

  constructor(options: DumbOptions, optionBytes: number) {
    const { device, ...ends } = options;
    this.ends = ends;
    this.#device = device;
    this.#ip = device.headerBytes;
    this.tcp = this.#ip + 20;
    this.options = this.tcp + 20;
    this.payload = this.options + optionBytes;
    const { view, bytes } = this;
    view.setUint8(this.#ip, 0x45);
    view.setUint16(this.#ip + 6, DONT_FRAGMENT);
    view.setUint16(this.#ip + 8, (64 << 8) | TCP_PROTOCOL);
    bytes.set(ends.local.split('.').map(Number), this.#ip + 12);
    bytes.set(ends.remote.split('.').map(Number), this.#ip + 16);
    view.setUint16(this.tcp, LOCAL_PORT);
    view.setUint16(this.tcp + 2, ends.port);
    view.setUint8(this.tcp + 12, ((20 + optionBytes) / 4) << 4);
    view.setUint8(this.tcp + 13, ACK);
    view.setUint16(this.tcp + 14, WINDOW_BYTES >> SCALE);
    if (device.headerBytes === 0) return;
    // The virtio header: the checksum is the kernel's to finish.
    view.setUint8(0, 1);
    view.setUint16(2, this.payload - this.#ip, true);
    view.setUint16(6, 20, true);
    view.setUint16(8, 16, true);
  }

  write(payloadBytes: number, payloadSum: number): void {
    const { view, tcp, payload } = this;
    if (this.#payloadBytes !== payloadBytes) this.#resize(payloadBytes);
    if (this.#device.headerBytes === 0) {
      view.setUint16(tcp + 16, 0);
      const headers = onesComplementSum(this.bytes, tcp, payload - tcp, this.#pseudoSum);
      view.setUint16(tcp + 16, foldChecksum(headers + payloadSum));
    }
    this.#device.write(this.bytes, payload + payloadBytes);
  }

  #resize(payloadBytes: number): void {
    const { view, bytes, tcp, payload } = this;
    const ip = this.#ip;
    this.#payloadBytes = payloadBytes;
    view.setUint16(ip + 2, payload - ip + payloadBytes);
    view.setUint16(ip + 10, 0);
    view.setUint16(ip + 10, foldChecksum(onesComplementSum(bytes, ip, 20)));
    const tcpBytes = payload - tcp + payloadBytes;
    this.#pseudoSum = onesComplementSum(bytes, ip + 12, 8, TCP_PROTOCOL + tcpBytes);
    if (this.#device.headerBytes === 0) return;
    const segment = MSS - (payload - this.options);
    const split = payloadBytes > segment;
    view.setUint8(1, split ? 1 : 0);
    view.setUint16(4, split ? segment : 0, true);
    view.setUint16(tcp + 16, this.#pseudoSum);
  }
}

/** 64 bits in two halves. */
interface Wide {
  readonly hi: number;
  readonly lo: number;
}

/** RFC 8684 §3.1: the rightmost 64 bits of SHA-256(key). */
function initialNumber(key: Uint8Array): Wide {
  const digest = createHash('sha256').update(key).digest();
  return { hi: digest.readUInt32BE(24), lo: digest.readUInt32BE(28) };
}

/** The number of the byte at `offset`, the first one's being one more than the initial number. */
function writeNumber(view: DataView, at: number, initial: Wide, offset: number): void {
  const low = initial.lo + 1 + offset;
  view.setUint32(at, initial.hi + Math.floor(low / 2 ** 32));
  view.setUint32(at + 4, low);
}

const SYN = 2;
const ACK = 16;
const TCP_PROTOCOL = 6;
const DONT_FRAGMENT = 0x4000;
const LOCAL_PORT = 32_768 + (process.pid % 28_000);
const MSS = 1460;
/** 2⁸ times 16,384. */
const SCALE = 8;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** DATA_ACK of 64 bits; and with it a mapping with a DSN of 64 bits, padded. */
const DSS_ACK_BYTES = 12;
const DSS_MAP_BYTES = 28;
const LARGEST_PACKET = 65_535;
const LARGEST_READ = 12 + LARGEST_PACKET + 1;
/** As many whole segments as an IP packet holds. */
const SUPER_SEGMENT = 45 * (MSS - DSS_MAP_BYTES);
const RING_BYTES = 8 * 1024 * 1024;
const RECOVERY_MS = 10;
const BATCH = 64;
const BURST = 16;
