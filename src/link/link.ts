// What lies between a host and the world: a link carries raw IP packets, both ways.
//
// Decides: the interface every carrier offers (memory, TCP-in-UDP; later TUN), and what it may lean on.
// Read: RFC 9293 §3.9 for what is carried; nothing here looks inside a packet further than its ports.
// Walk: api/driver hands packets from `host.transmit` to `Link.send`; what arrives goes through `LinkSink`
// to `host.receive`.
//
// A link stands for one local address. Packets may be super-segments of up to `gsoMax` bytes; a link whose
// carrier cannot segment does it itself, so that nobody above thinks in wire packets. Links own no clock and
// no timers: when a batch ends is for the driver to say.

/** One local address that can send and receive raw IP packets. */
export interface Link {
  /** The local address, as text. */
  readonly address: string;
  /** A short name for humans: the device, or the address again. */
  readonly name: string;
  /** Largest IP packet on the wire. */
  readonly mtu: number;
  /** Largest IP packet `send` takes; what exceeds `mtu` is split by the link or below it. */
  readonly gsoMax: number;
  /** True when neither side of the host needs to fill in or verify TCP checksums. */
  readonly checksumOffload: boolean;
  /** What happened here, by name; plain numbers, never reset. */
  readonly counters: Record<string, number>;
  /** Names the receiver. Called once, before the first packet. */
  attach(sink: LinkSink): void;
  /**
   * Sends one raw IP packet, split into pieces of at most `segmentSizeBytes` of payload where it is longer.
   * The bytes may be reused as soon as this returns. A link that cannot take them drops and counts them.
   * It may overwrite up to `HEADROOM_BYTES` in front of `offset`, where a header of its own saves it a copy.
   */
  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void;
  /** The host uses this local port no longer. Ports the link does not know are ignored. */
  releasePort(localPort: number): void;
  /** Lets everything go; nothing is received afterwards. */
  close(): void;
}

/** What a driver best leaves free in front of a packet. */
export const HEADROOM_BYTES = 12;

/** Who a link reports to. */
export interface LinkSink {
  /** One raw IP packet; the bytes are valid only during the call. */
  packet(link: Link, bytes: Uint8Array, offset: number, length: number): void;
  /** The carrier refused a packet for its size: `link.mtu` is lower now. */
  mtuChanged(link: Link): void;
  /** The carrier says that nobody listens at the other end of this port. A hint: anyone may be lying. */
  refused(link: Link, localPort: number): void;
}

/** A link whose ports belong to the operating system: a port is asked for before the host may use it. */
export interface PortedLink extends Link {
  /** Opens a flow to one remote; resolves to its local port, which is held until `releasePort`. */
  openFlow(remote: RemoteEndpoint): Promise<number>;
  /** Takes a port for any remote (0: any free one); resolves to it. A retired one is taken again. */
  openListener(port: number): Promise<number>;
  /** Nobody listens on this port any more, but connections still use it: `releasePort` follows. */
  retirePort(localPort: number): void;
  isRetired(localPort: number): boolean;
  /** How many ports are held now. */
  readonly openPorts: number;
}

/** An address and port, both literal. */
export interface RemoteEndpoint {
  readonly address: string;
  readonly port: number;
}
