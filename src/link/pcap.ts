// Records what passes one or several links as pcapng, for Wireshark and tcpdump: the raw IP packets that the
// host sends and receives, one interface of the capture a path.
//
// Decides: what a path is in a capture: a link, or, where a link opens flows, the remote one leads to.
// And that packets are shown as the host sees them – super-segments whole, TCP-in-UDP as the TCP it
// carries – with TCP checksums filled in where the carrier would have done it. The file is whoever's `write`
// it is given; the time is told, since links own no clock.
// Walk: wraps a link on its way to api/driver; pcapng.ts is the format.

import { decodePacket, IPV6_HEADER_BYTES, Segment, writeChecksum } from '../wire/index.ts';
import type { Link, LinkSink, PortedLink, RemoteEndpoint } from './link.ts';
import { interfaceBlock, PACKET_DATA_OFFSET, packetBlock, sectionBlock } from './pcapng.ts';

/** Where a capture goes. */
export interface CaptureOptions {
  /** Takes the next bytes of the file; they are not touched afterwards. */
  write(bytes: Uint8Array): void;
  /** Microseconds since 1970. */
  nowUs(): number;
}

/** One file that any number of links are recorded into. */
export class Capture {
  readonly #options: CaptureOptions;
  readonly #segment: Segment = new Segment();
  #interfaces = 0;

  constructor(options: CaptureOptions) {
    this.#options = options;
    options.write(sectionBlock('mptcp for Node.js'));
  }

  /** A link that does what `link` does, and is recorded. */
  record<L extends Link>(link: L): L {
    const paths = new Paths(link, name => this.describe(name, link.address));
    const packet = (inbound: boolean, bytes: Uint8Array, offset: number, length: number): void => {
      const interfaceNumber = paths.interfaceOf(inbound, bytes, offset, length);
      this.packet({ interfaceNumber, inbound, bytes, offset, length, checksum: link.checksumOffload });
    };
    return new Proxy(link, {
      get: (target, key) => {
        if (key === 'send') {
          return (bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void => {
            packet(false, bytes, offset, length);
            target.send(bytes, offset, length, segmentSizeBytes);
          };
        }
        if (key === 'attach') return (sink: LinkSink): void => target.attach(recording(sink, packet));
        if (key === 'openFlow' && isPorted(target)) {
          return (remote: RemoteEndpoint): Promise<number> => paths.openFlow(target, remote);
        }
        if (key === 'releasePort') {
          return (localPort: number): void => {
            paths.forget(localPort);
            target.releasePort(localPort);
          };
        }
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** A further interface of the capture; returns its number. */
  describe(name: string, address: string): number {
    this.#options.write(interfaceBlock({ name, address }));
    return this.#interfaces++;
  }

  packet(packet: {
    interfaceNumber: number;
    inbound: boolean;
    bytes: Uint8Array;
    offset: number;
    length: number;
    /** Whether its checksum is to be filled in. */
    checksum: boolean;
    comment?: string;
  }): void {
    const written = packetBlock({ ...packet, timeUs: this.#options.nowUs() });
    if (packet.checksum && decodePacket(this.#segment, written, PACKET_DATA_OFFSET, packet.length)) {
      writeChecksum(written, PACKET_DATA_OFFSET, packet.length);
    }
    this.#options.write(written);
  }
}

/** The paths of one link, and which of them a packet takes: its local port says so. */
class Paths {
  readonly #name: string;
  readonly #describe: (name: string) => number;
  /** Interfaces by local port, and by name. */
  readonly #flows: Map<number, number> = new Map();
  readonly #known: Map<string, number> = new Map();

  constructor(link: Link, describe: (name: string) => number) {
    this.#name = link.name;
    this.#describe = describe;
    if (!isPorted(link)) this.#interfaceNamed(this.#name);
  }

  async openFlow(link: PortedLink, remote: RemoteEndpoint): Promise<number> {
    const localPort = await link.openFlow(remote);
    const to = remote.address.includes(':') ? `[${remote.address}]` : remote.address;
    this.#flows.set(localPort, this.#interfaceNamed(`${this.#name} to ${to}:${remote.port}`));
    return localPort;
  }

  forget(localPort: number): void {
    this.#flows.delete(localPort);
  }

  interfaceOf(inbound: boolean, bytes: Uint8Array, offset: number, length: number): number {
    if (this.#flows.size > 0) {
      const ipBytes = bytes[offset] >> 4 === 4 ? (bytes[offset] & 15) << 2 : IPV6_HEADER_BYTES;
      const at = offset + ipBytes + (inbound ? 2 : 0);
      const localPort = ipBytes + 4 <= length ? (bytes[at] << 8) | bytes[at + 1] : 0;
      const flow = this.#flows.get(localPort);
      if (flow !== undefined) return flow;
    }
    return this.#interfaceNamed(this.#name);
  }

  #interfaceNamed(name: string): number {
    let known = this.#known.get(name);
    if (known === undefined) {
      known = this.#describe(name);
      this.#known.set(name, known);
    }
    return known;
  }
}

function isPorted(link: Link): link is PortedLink {
  return 'openFlow' in link;
}

function recording(
  sink: LinkSink,
  packet: (inbound: boolean, bytes: Uint8Array, offset: number, length: number) => void,
): LinkSink {
  return {
    packet: (link, bytes, offset, length) => {
      packet(true, bytes, offset, length);
      sink.packet(link, bytes, offset, length);
    },
    mtuChanged: link => sink.mtuChanged(link),
    refused: (link, localPort) => sink.refused(link, localPort),
  };
}
