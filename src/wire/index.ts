/**
 * Codecs, and no state: addresses, checksums, IP, TCP and MPTCP headers, segmentation, TCP-in-UDP.
 */
export * from './address.ts';
export * from './checksum.ts';
export * from './copy.ts';
export * from './icmp.ts';
export { ecnField, IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, ipHeaderBytes, markCongestion } from './ip.ts';
export { dssLength } from './mptcp-decode.ts';
export { mptcpOptionLength, mptcpOptionsLength } from './mptcp-encode.ts';
export * from './option-table.ts';
export * from './packet.ts';
export * from './segment.ts';
export * from './split.ts';
export {
  fastOpenLength,
  MAX_WINDOW_SCALE,
  mptcpRoom,
  optionFits,
  optionsLength,
  sackBlocksThatFit,
  tcpOptionsLength,
} from './tcp-options.ts';
export * from './udp-encap.ts';
