// A Multipath TCP server of the kernel's, reached by TCP-in-UDP: a translator between a TUN device and UDP
// sockets on the server's own addresses and port.
//
// Decides: that a client's datagram becomes the TCP packet it carries, with the client's own address as its
// source, and what the kernel answers to the device leaves as a datagram of the real address and port; so
// neither end sees anything of it. What is larger than fits a datagram is cut, as segmentation would do.
// Read: docs/ARCHITECTURE.md on carriers.
// Walk: cli/tun sets up routes around it; link/udp is the side of the clients, link/tun-device the kernel's.

import { Capture, type CaptureOptions, type Link, type LinkSink, UdpLink } from '../link/index.ts';
import { openTunDevice, type TunDevice } from '../link/tun-device.ts';
import { decodePacket, parseAddress, Segment, writeChecksum } from '../wire/index.ts';

export interface TranslatorOptions {
  /** The device's name; it is made, and goes with the translator. */
  readonly device: string;
  /** Of the server, and of the UDP sockets. */
  readonly port: number;
  /** The addresses of this machine that the server is reached at. */
  readonly addresses: readonly string[];
  /** Largest IP packet that leaves. */
  readonly mtu: number;
  /** Where to record what passes, as TCP. */
  readonly capture?: CaptureOptions | undefined;
}

export interface Translator {
  /** Packets in either direction, and those that were nothing for us. */
  readonly counters: Readonly<Record<string, number>>;
  close(): void;
}

/** Opens the sockets, then the device; rejects with what could not be had, leaving nothing open. */
export async function startTranslator(options: TranslatorOptions): Promise<Translator> {
  const { port, addresses, mtu } = options;
  const links: UdpLink[] = [];
  try {
    for (const address of addresses) {
      const link = new UdpLink({ address, mtu });
      links.push(link);
      await link.openListener(port);
    }
    const device = openTunDevice({ name: options.device, offload: false });
    const capture = options.capture && new Capture(options.capture);
    return new TunTranslator(device, capture ? links.map(link => capture.record(link)) : links, port);
  } catch (error) {
    for (const link of links) link.close();
    throw error;
  }
}

class TunTranslator implements Translator {
  readonly counters: Record<string, number> = { toKernel: 0, toClients: 0, notOurs: 0, refusedByKernel: 0 };
  readonly #device: TunDevice;
  readonly #links: readonly UdpLink[];
  readonly #port: number;
  readonly #byAddress: Map<string, UdpLink> = new Map();
  readonly #segment: Segment = new Segment();
  readonly #in: Uint8Array = new Uint8Array(LARGEST_PACKET);
  readonly #out: Uint8Array = new Uint8Array(LARGEST_PACKET);
  #readErrors = 0;
  #closed = false;

  constructor(device: TunDevice, links: readonly UdpLink[], port: number) {
    this.#device = device;
    this.#links = links;
    this.#port = port;
    for (const link of links) {
      this.#byAddress.set(keyOf(link), link);
      link.attach(this.#sink);
    }
    device.watch(() => this.#onReadable());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const link of this.#links) link.close();
    this.#device.close();
  }

  readonly #sink: LinkSink = {
    packet: (_link, bytes, offset, length) => {
      if (this.#closed) return;
      this.#out.set(bytes.subarray(offset, offset + length));
      writeChecksum(this.#out, 0, length);
      if (this.#device.write(this.#out, length) < 0) this.counters['refusedByKernel']++;
      else this.counters['toKernel']++;
    },
    // The next packets are cut smaller.
    mtuChanged: () => {},
    // A listener's socket belongs to nobody in particular: whoever has gone, the kernel finds out by itself.
    refused: () => {},
  };

  #onReadable(): void {
    for (let read = 0; read < BATCH_PACKETS && !this.#closed; read++) {
      const length = this.#device.read(this.#in);
      if (length > 0) {
        this.#toClient(length);
        continue;
      }
      // A device that was deleted: watching on would keep the event loop busy for nothing.
      if (length !== -EAGAIN && ++this.#readErrors >= READ_ERRORS_LIMIT) this.close();
      return;
    }
  }

  #toClient(length: number): void {
    const segment = this.#segment;
    const link =
      decodePacket(segment, this.#in, 0, length) && segment.srcPort === this.#port
        ? this.#byAddress.get(`${segment.src0} ${segment.src1} ${segment.src2} ${segment.src3}`)
        : undefined;
    if (link === undefined) {
      this.counters['notOurs']++;
      return;
    }
    this.counters['toClients']++;
    link.send(this.#in, 0, length, Math.max(1, link.mtu - segment.payloadOffset));
  }
}

/** As a decoded packet has it. */
function keyOf(link: Link): string {
  const words = new Int32Array(4);
  parseAddress(link.address.replace(/%.*$/, ''), words);
  return words.join(' ');
}

const LARGEST_PACKET = 65_535;
const BATCH_PACKETS = 64;
const READ_ERRORS_LIMIT = 16;
const EAGAIN = 11;
