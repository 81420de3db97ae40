// Carries packets through a Linux TUN device: whatever the kernel routes into the device is ours, and what we
// send the kernel forwards like any neighbour's packet. Our stack is a host of its own there, with native TCP
// on the wire.
//
// Decides: how many packets are read before others have their turn; that checksums and segmentation are the
// kernel's work where the device offers it and ours where it does not, so that the host above never sees a
// difference; and which of the addresses on a device a packet is for.
// Read: RFC 9293 §3.1 (checksum).
// Walk: api/driver drives one link per address; tun-device.ts opens the device, virtio-header.ts describes
// packets to it.

import { copyBytes, parseAddress, type SplitSink, splitPacket, verifyChecksum } from '../wire/index.ts';
import type { Link, LinkSink } from './link.ts';
import { sameWords, withoutZone } from './peer-names.ts';
import { openTunDevice, type TunDevice } from './tun-device.ts';
import { isChecksumTrusted, VIRTIO_HEADER_BYTES, writeVirtioHeader } from './virtio-header.ts';

/** How a device is opened. */
export interface TunOptions {
  /** The device's name: an existing one, or one to be made; the kernel numbers a name with %d in it. */
  readonly name: string;
  /** Largest IP packet on the wire; default: the device's MTU. */
  readonly mtu?: number;
  /** Exchange super-segments and unfinished checksums with the kernel (default true). */
  readonly offload?: boolean;
}

/** One open device, and the addresses on it that are ours. */
export class Tun {
  readonly name: string;
  readonly mtu: number;
  readonly offload: boolean;
  /** Of the whole device: reads that found more than one batch, packets for nobody here. */
  readonly counters: Record<string, number> = {
    wakes: 0,
    fullBatches: 0,
    notForUs: 0,
    checksumErrors: 0,
    readErrors: 0,
  };
  readonly #device: TunDevice;
  readonly #links: TunLink[] = [];
  readonly #in: Uint8Array;
  readonly #out: Uint8Array = new Uint8Array(VIRTIO_HEADER_BYTES + LARGEST_PACKET);
  #closed = false;

  /** Opens the device; throws an error with a `code` that says which of the things it needs is missing. */
  constructor(options: TunOptions) {
    this.offload = options.offload ?? true;
    this.#device = openTunDevice({ name: options.name, offload: this.offload });
    this.name = this.#device.name;
    this.mtu = options.mtu ?? (this.#device.mtu || DEFAULT_MTU);
    this.#in = new Uint8Array(this.#device.headerBytes + LARGEST_PACKET);
  }

  /**
   * The link of one of our addresses. The kernel must not have the address itself, and must route it to the
   * device.
   */
  link(address: string): TunLink {
    const link = new TunLink(this, address);
    if (this.#closed) throw Object.assign(new Error('the device was closed'), { code: 'EBADF' });
    if (this.#links.some(other => other.isFor(link.words))) {
      throw Object.assign(new Error(`${address} is in use on ${this.name}`), { code: 'EADDRINUSE' });
    }
    this.#links.push(link);
    // What arrived before anybody could be told stays in the device's queue.
    if (this.#links.length === 1) this.#device.watch(this.#onReadable);
    return link;
  }

  /** Let go, by whoever opened it or because the device is gone. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Lets the device go, and with it every link on it. */
  close(): void {
    this.#closed = true;
    this.#links.length = 0;
    this.#device.close();
  }

  // For links.

  /** Hands one packet to the kernel. False: it was not taken. */
  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): boolean {
    if (this.#closed) return false;
    if (!this.offload) return this.#sendPieces(bytes, offset, length, segmentSizeBytes);
    let packet = bytes;
    if (offset !== VIRTIO_HEADER_BYTES) {
      packet = this.#out;
      copyBytes(bytes, offset, packet, VIRTIO_HEADER_BYTES, length);
    }
    writeVirtioHeader(packet, VIRTIO_HEADER_BYTES, length, segmentSizeBytes);
    return this.#device.write(packet, VIRTIO_HEADER_BYTES + length) >= 0;
  }

  /** One link was closed. The device stays open for the others, and goes with the last. */
  forget(link: TunLink): void {
    const at = this.#links.indexOf(link);
    if (at < 0) return;
    this.#links.splice(at, 1);
    if (this.#links.length === 0) this.close();
  }

  #sendPieces(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): boolean {
    this.#allTaken = true;
    // A pure acknowledgement has no payload to split; any size does.
    splitPacket(bytes, offset, length, segmentSizeBytes > 0 ? segmentSizeBytes : length, this.#pieces);
    return this.#allTaken;
  }

  #allTaken = true;
  readonly #pieces: SplitSink = {
    buffer: this.#out,
    offset: 0,
    checksum: true,
    piece: length => {
      if (this.#device.write(this.#out, length) < 0) this.#allTaken = false;
    },
  };

  readonly #onReadable = (): void => {
    this.counters['wakes']++;
    const { headerBytes } = this.#device;
    for (let read = 0; read < BATCH_PACKETS; read++) {
      // A packet may have made somebody close the device.
      if (this.#closed) return;
      const length = this.#device.read(this.#in);
      if (length <= headerBytes) {
        if (length === -EAGAIN) return;
        this.#onReadError(-length);
        return;
      }
      this.#receive(headerBytes, length - headerBytes);
    }
    // The rest wakes us again, after everybody else had their turn.
    this.counters['fullBatches']++;
  };

  #receive(offset: number, length: number): void {
    const bytes = this.#in;
    const link = this.#linkFor(bytes, offset, length);
    if (link === undefined) {
      this.counters['notForUs']++;
      return;
    }
    const trusted = offset > 0 && isChecksumTrusted(bytes);
    if (!trusted && isTcp(bytes, offset) && !verifyChecksum(bytes, offset, length)) {
      this.counters['checksumErrors']++;
      return;
    }
    link.receive(bytes, offset, length);
  }

  #linkFor(bytes: Uint8Array, offset: number, length: number): TunLink | undefined {
    if (length < 20) return undefined;
    const ipv4 = bytes[offset] >> 4 === 4;
    if (!ipv4 && length < 40) return undefined;
    const at = offset + (ipv4 ? 16 : 24);
    for (let i = 0; i < this.#links.length; i++) {
      if (this.#links[i].isAt(bytes, at, ipv4)) return this.#links[i];
    }
    return undefined;
  }

  #onReadError(_errno: number): void {
    this.counters['readErrors']++;
    // The device was deleted, or is of no use any more: watching on would keep the event loop busy for
    // nothing.
    if (this.counters['readErrors'] < READ_ERRORS_LIMIT) return;
    for (const link of [...this.#links]) link.gone();
    this.close();
  }
}

/** One address on a device. */
export class TunLink implements Link {
  readonly address: string;
  readonly name: string;
  readonly mtu: number;
  readonly gsoMax: number = LARGEST_PACKET;
  // The kernel fills in and verifies, or this link does.
  readonly checksumOffload: boolean = true;
  readonly counters: Record<string, number> = { sent: 0, received: 0, refusedByKernel: 0, deviceGone: 0 };
  readonly words: Int32Array = new Int32Array(4);
  /** The address as bytes, as it stands in a packet. */
  readonly #octets: Uint8Array;
  readonly #ipv4: boolean;
  readonly #tun: Tun;
  #sink: LinkSink | undefined;

  constructor(tun: Tun, address: string) {
    const family = parseAddress(withoutZone(address), this.words);
    if (family === 0) {
      throw Object.assign(new Error(`'${address}' is not an IP address`), { code: 'EINVAL' });
    }
    this.#tun = tun;
    this.address = address;
    this.name = tun.name;
    this.mtu = tun.mtu;
    this.#ipv4 = family === 4;
    const octets = new Uint8Array(16);
    for (let i = 0; i < 16; i++) octets[i] = this.words[i >> 2] >> (24 - 8 * (i & 3));
    this.#octets = family === 4 ? octets.subarray(12) : octets;
  }

  attach(sink: LinkSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void {
    if (this.#tun.send(bytes, offset, length, segmentSizeBytes)) this.counters['sent']++;
    else this.counters['refusedByKernel']++;
  }

  releasePort(_localPort: number): void {}

  close(): void {
    this.#sink = undefined;
    this.#tun.forget(this);
  }

  // For the device.

  receive(bytes: Uint8Array, offset: number, length: number): void {
    this.counters['received']++;
    this.#sink?.packet(this, bytes, offset, length);
  }

  gone(): void {
    this.counters['deviceGone']++;
  }

  isFor(words: Int32Array): boolean {
    return sameWords(this.words, words[0], words[1], words[2], words[3]);
  }

  isAt(bytes: Uint8Array, at: number, ipv4: boolean): boolean {
    if (ipv4 !== this.#ipv4) return false;
    const octets = this.#octets;
    for (let i = octets.length - 1; i >= 0; i--) if (octets[i] !== bytes[at + i]) return false;
    return true;
  }
}

function isTcp(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset] >> 4 === 4 ? bytes[offset + 9] : bytes[offset + 6]) === TCP_PROTOCOL;
}

const DEFAULT_MTU = 1500;
const LARGEST_PACKET = 65_535;
const TCP_PROTOCOL = 6;
/** What a kernel peer's window sends at once arrives as one batch and is acknowledged once. */
const BATCH_PACKETS = 64;
const READ_ERRORS_LIMIT = 16;
const EAGAIN = 11;
