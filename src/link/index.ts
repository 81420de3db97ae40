// The links: raw IP packets in and out of a process, one local address each.

export type { Link, LinkSink, PortedLink, RemoteEndpoint } from './link.ts';
export { HEADROOM_BYTES } from './link.ts';
export { MemoryLink, type MemoryPair, type MemoryPairOptions, memoryPair } from './memory.ts';
export { Capture, type CaptureOptions } from './pcap.ts';
export { Tun, TunLink, type TunOptions } from './tun.ts';
export { UdpLink, type UdpLinkOptions } from './udp.ts';
export { isIpv6Text, sourceAddressFor } from './udp-socket.ts';
