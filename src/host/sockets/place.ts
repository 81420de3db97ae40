// Decides what an address means to a socket of a family: AF_INET takes IPv4, AF_INET6 takes IPv6 and IPv4 as
// ::ffff:a.b.c.d, unless IPV6_V6ONLY is set. Before: socket.bind, socket.connect. After: bindings, host.

import { formatWords, isIpv4, isUnspecified, parseAddress } from '../../wire/index.ts';
import { constants } from './constants.ts';
import { errno } from './errno.ts';

/** An address and a port, as bind and connect take them and getsockname gives them. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** The same, understood. */
export interface Place {
  readonly words: Int32Array;
  readonly port: number;
  /** Of the packets: 4 for ::ffff:a.b.c.d as well. */
  readonly family: 4 | 6;
  readonly isWildcard: boolean;
}

/** What a socket of `domain` understands by an address; or a negative error. */
export function placeOf(domain: number, { address, port }: SocketAddress): Place | number {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return -errno.EINVAL;
  const words = new Int32Array(4);
  const family = parseAddress(address, words);
  if (family === 0) return -errno.EINVAL;
  const written = address.includes(':') ? constants.AF_INET6 : constants.AF_INET;
  if (written !== domain) return -errno.EAFNOSUPPORT;
  const isWildcard = isUnspecified(words[0], words[1], words[2], words[3]);
  return { words, port, family, isWildcard };
}

/** How a socket of `domain` writes an address. */
export function nameOf(domain: number, words: Int32Array | null, port: number): SocketAddress {
  if (words === null) return { address: domain === constants.AF_INET6 ? '::' : '0.0.0.0', port };
  const text = formatWords(words);
  const mapped = domain === constants.AF_INET6 && isIpv4(words[0], words[1], words[2]);
  return { address: mapped ? `::ffff:${text}` : text, port };
}
