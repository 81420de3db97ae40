// Decides how a socket gets its listener or its connection from the host, and what Linux calls it when there
// is none to be had. Before: sockets/socket. After: host.listen, host.connect.

import { formatWords } from '../../wire/index.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connection.ts';
import { HostError } from '../errors.ts';
import type { Host, ListenOptions } from '../host.ts';
import type { Listener } from '../listener.ts';
import { errno } from './errno.ts';
import type { Place } from './place.ts';

/** Null where somebody else listens. */
export function openListener(host: Host, options: ListenOptions): Listener | null {
  try {
    return host.listen(options);
  } catch (error) {
    if (error instanceof HostError) return null;
    throw error;
  }
}

/** A connection that sets out, or a negative error. */
export function openConnection(
  host: Host,
  options: {
    place: Place;
    localPort: number;
    localWords: Int32Array | null;
    multipath: boolean;
    config: Partial<Config>;
    fastOpen: boolean;
  },
  now: number,
): Connection | number {
  const { place, localWords, localPort } = options;
  const from =
    localWords === null
      ? host.interfaces.towards(place.words, place.family)
      : host.interfaces.byAddress(localWords);
  if (from === null) return -errno.ENETUNREACH;
  if (from.family !== place.family) return -errno.EINVAL;
  const remote = { address: formatWords(place.words), port: place.port };
  const { multipath, config, fastOpen } = options;
  try {
    const paths = [{ interfaceId: from.id, localPort }];
    const connection = host.connect({ remote, paths, multipath, config, fastOpen, endpoints: true }, now);
    return connection.closed && connection.error === 'EADDRINUSE' ? -errno.EADDRNOTAVAIL : connection;
  } catch (error) {
    if (error instanceof HostError) return -errno.EADDRNOTAVAIL;
    throw error;
  }
}
