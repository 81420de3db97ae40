// A list of addresses and ports, as people write it: "10.0.0.0/8, 192.0.2.1:443, :5432, 2001:db8::/32".
//
// Decides: the grammar. An entry is an address or a network, a port, or both; IPv6 with a port stands in
// brackets.
// Walk: api/register asks whether a socket is meant.

import { BlockList, isIP } from 'node:net';
import { MptcpError } from './errors.ts';

/** A list; what it names it `has`. */
export class Destinations {
  readonly #text: string;
  readonly #entries: readonly Entry[];

  private constructor(text: string, entries: readonly Entry[]) {
    this.#text = text;
    this.#entries = entries;
  }

  /** `name` is what the list is called in an error. */
  static parse(text: string, name: string): Destinations {
    const words = text.split(/[\s,]+/).filter(word => word !== '');
    return new Destinations(
      words.join(', '),
      words.map(word => parseEntry(word, name)),
    );
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  has(address: string, port: number): boolean {
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    return this.#entries.some(
      entry =>
        (entry.port === undefined || entry.port === port) &&
        (entry.addresses === undefined || entry.addresses.check(address, family)),
    );
  }

  toString(): string {
    return this.#text;
  }
}

interface Entry {
  readonly addresses: BlockList | undefined;
  readonly port: number | undefined;
}

function parseEntry(word: string, name: string): Entry {
  const [range, portText] = splitPort(word);
  const [address, prefix, ...more] = range.split('/');
  const version = isIP(address);
  const port = portText === undefined ? undefined : wholeUpTo(65_535, portText);
  const bits = prefix === undefined ? undefined : wholeUpTo(version === 6 ? 128 : 32, prefix);
  const onlyPort = range === '' && port !== undefined;
  if (more.length > 0 || Number.isNaN(port) || Number.isNaN(bits) || (version === 0 && !onlyPort)) {
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `"${word}" in ${name} is no address, network or port`,
      remedy: 'write 192.0.2.1, 10.0.0.0/8, :443, 192.0.2.1:443 or [2001:db8::/32]:443',
    });
  }
  if (onlyPort) return { addresses: undefined, port };
  const addresses = new BlockList();
  const family = version === 6 ? 'ipv6' : 'ipv4';
  if (bits === undefined) addresses.addAddress(address, family);
  else addresses.addSubnet(address, bits, family);
  return { addresses, port };
}

/** What stands before the port, and the port where there is one. */
function splitPort(word: string): [range: string, port: string | undefined] {
  const [, range, port] = /^\[(.+)\](?::(.*))?$/.exec(word) ?? /^([^:]*):([^:]*)$/.exec(word) ?? [];
  return range === undefined ? [word, undefined] : [range, port];
}

function wholeUpTo(most: number, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value <= most ? value : Number.NaN;
}
