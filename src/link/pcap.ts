// Records what passes one or several links as pcapng, for Wireshark and tcpdump: the raw IP packets that the
// host sends and receives, one interface of the capture a link.
//
// Decides: that packets are shown as the host sees them – super-segments whole, TCP-in-UDP as the TCP it
// carries – with TCP checksums filled in where the carrier would have done it. The file is whoever's `write`
// it is given; the time is told, since links own no clock.
// Walk: wraps a link on its way to api/driver; pcapng.ts is the format.

import { decodePacket, Segment, writeChecksum } from '../wire/index.ts';
import type { Link, LinkSink } from './link.ts';
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
    const interfaceNumber = this.#interfaces++;
    this.#options.write(interfaceBlock({ name: link.name, address: link.address }));
    const packet = (inbound: boolean, bytes: Uint8Array, offset: number, length: number): void =>
      this.#packet({ interfaceNumber, inbound, bytes, offset, length, checksum: link.checksumOffload });
    return new Proxy(link, {
      get: (target, key) => {
        if (key === 'send') {
          return (bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void => {
            packet(false, bytes, offset, length);
            target.send(bytes, offset, length, segmentSizeBytes);
          };
        }
        if (key === 'attach') return (sink: LinkSink): void => target.attach(recording(sink, packet));
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  #packet(packet: {
    interfaceNumber: number;
    inbound: boolean;
    bytes: Uint8Array;
    offset: number;
    length: number;
    checksum: boolean;
  }): void {
    const written = packetBlock({ ...packet, timeUs: this.#options.nowUs() });
    if (packet.checksum && decodePacket(this.#segment, written, PACKET_DATA_OFFSET, packet.length)) {
      writeChecksum(written, PACKET_DATA_OFFSET, packet.length);
    }
    this.#options.write(written);
  }
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
