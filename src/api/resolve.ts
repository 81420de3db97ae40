// Names into addresses.
//
// Decides: literal addresses are taken as they are; everything else goes to `dns.lookup`, or to what the
// application gave in its place, asking for all addresses.
// Walk: api/connector and api/server ask.

import { type LookupAddress, type LookupAllOptions, lookup as systemLookup } from 'node:dns';
import { type BlockList, isIP, type LookupFunction } from 'node:net';
import type { DialTarget } from './dial.ts';
import { MptcpError } from './errors.ts';
import type { ConnectOptions } from './options.ts';

/** A literal address. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** What to resolve, and how. */
export interface ResolveOptions {
  readonly host: string;
  readonly family?: number;
  readonly hints?: number;
  readonly lookup?: LookupFunction;
  /** Hears of every address, or of the failure: the 'lookup' event. */
  readonly onLookup?: (error: Error | null, address?: string, family?: number) => void;
}

/** All addresses of a host, at least one; rejects with what the resolver said. */
export function resolveHost(options: ResolveOptions): Promise<ResolvedAddress[]> {
  const { host } = options;
  const literal = isIP(host);
  if (literal !== 0) return Promise.resolve([{ address: host, family: literal === 6 ? 6 : 4 }]);
  const query: LookupAllOptions = { all: true, family: options.family ?? 0 };
  if (options.hints !== undefined) query.hints = options.hints;
  return new Promise((resolve, reject) => {
    const answer = (
      error: NodeJS.ErrnoException | null,
      answers: string | LookupAddress[],
      family?: number,
    ): void => {
      if (error !== null) {
        options.onLookup?.(error);
        reject(error);
        return;
      }
      // A lookup of the application's may know only the form with one address.
      const list = typeof answers === 'string' ? [{ address: answers, family: family ?? 0 }] : answers;
      const found: ResolvedAddress[] = [];
      let invalid: unknown;
      for (const { address } of Array.isArray(list) ? list : []) {
        const version = isIP(address);
        if (version === 0) invalid ??= address;
        if (
          version === 0 ||
          (options.family !== undefined && options.family % 10 !== 0 && options.family !== version)
        )
          continue;
        options.onLookup?.(null, address, version);
        found.push({ address, family: version === 6 ? 6 : 4 });
      }
      if (found.length > 0) resolve(found);
      else if (invalid !== undefined) {
        const sentence = `the lookup of "${host}" gave ${JSON.stringify(invalid)}, which is no IP address`;
        reject(new MptcpError('ERR_INVALID_IP_ADDRESS', { sentence }));
      } else reject(new MptcpError('ENOTFOUND', { syscall: 'lookup', address: host }));
    };
    (options.lookup ?? (systemLookup as LookupFunction))(host, query, answer);
  });
}

/** The addresses to connect to. */
export async function resolveTargets(
  { host = 'localhost', port, family, hints, lookup, autoSelectFamily, blockList }: ConnectOptions,
  onLookup: NonNullable<ResolveOptions['onLookup']>,
): Promise<DialTarget[]> {
  try {
    const found = await resolveHost({
      ...{ host, onLookup },
      ...(family === undefined ? {} : { family }),
      ...(hints === undefined ? {} : { hints }),
      ...(lookup === undefined ? {} : { lookup }),
    });
    const targets = found.map(({ address, family: version }) => ({ address, family: version, port }));
    const allowed = targets.filter(target => !isBlocked(blockList, target.address));
    if (allowed.length === 0) {
      const [{ address }] = targets;
      throw new MptcpError('ERR_IP_BLOCKED', { syscall: 'connect', address, port });
    }
    return autoSelectFamily === false ? allowed.slice(0, 1) : allowed;
  } catch (error) {
    throw lookupError(error, host);
  }
}

/** Whether a list of the application's names this address. */
export function isBlocked(blockList: BlockList | undefined, address: string): boolean {
  return blockList?.check(address, address.includes(':') ? 'ipv6' : 'ipv4') === true;
}

/** The resolver's own error, with the fields of ours: `code`, `syscall`, `hostname`. */
export function lookupError(error: unknown, host: string): Error {
  if (error instanceof MptcpError || !(error instanceof Error)) return error as Error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string') return error;
  return Object.assign(
    new MptcpError(code, { syscall: syscall ?? 'getaddrinfo', address: host, cause: error }),
    { hostname: host },
  );
}
