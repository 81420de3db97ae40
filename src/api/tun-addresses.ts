// The addresses of our stack on TUN devices, and their links.
//
// Decides: that a process opens a device once however many addresses it has there, that an address stands on
// one device, and that ports on a TUN link are the host's own: nobody has to be asked for one.
// Walk: api/connector, api/server and api/planned-path place addresses; api/network opens their links.

import { randomInt } from 'node:crypto';
import type { Link, LinkSink, PortedLink } from '../link/index.ts';
import { Tun } from '../link/index.ts';
import { codeOf, MptcpError } from './errors.ts';

/** A path as far as its place matters. */
export interface TunPath {
  readonly local: string;
  readonly device?: string;
}

/** Which address is on which device. */
export class TunAddresses {
  readonly #mtu: number | undefined;
  readonly #devices: Map<string, string> = new Map();

  constructor(mtu: number | undefined) {
    this.#mtu = mtu;
  }

  /** Says where a path's address is: on its own device, or on that of all. */
  place(path: TunPath, deviceOfAll: string | undefined): void {
    const device = path.device ?? deviceOfAll ?? '';
    const present = this.#devices.get(path.local);
    if (present !== undefined && present !== device) {
      throw new MptcpError('EADDRINUSE', { sentence: `${path.local} is in use on the device ${present}` });
    }
    this.#devices.set(path.local, device);
  }

  deviceOf(address: string): string | undefined {
    return this.#devices.get(address);
  }

  /** The link of an address; throws what says which thing is missing. */
  open(address: string): PortedLink {
    const device = this.#devices.get(address);
    if (device === undefined) {
      throw new MptcpError('EADDRNOTAVAIL', {
        sentence: `${address} is on no TUN device of ours`,
        remedy: 'name it with the option "paths"',
      });
    }
    try {
      return new HostPortsLink(openDevice(device, this.#mtu).link(address));
    } catch (error) {
      this.#devices.delete(address);
      const sentence = (error as Error).message;
      throw new MptcpError(codeOf(error), { syscall: 'open', sentence, cause: error });
    }
  }
}

/** A link whose ports are the host's business, in the shape of one whose ports are the system's. */
class HostPortsLink implements PortedLink {
  readonly address: string;
  readonly name: string;
  readonly gsoMax: number;
  readonly checksumOffload: boolean;
  readonly counters: Record<string, number>;
  readonly openPorts: number = 0;
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
    this.address = link.address;
    this.name = link.name;
    this.gsoMax = link.gsoMax;
    this.checksumOffload = link.checksumOffload;
    this.counters = link.counters;
  }

  get mtu(): number {
    return this.#link.mtu;
  }

  attach(sink: LinkSink): void {
    this.#link.attach(sink);
  }

  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void {
    this.#link.send(bytes, offset, length, segmentSizeBytes);
  }

  close(): void {
    this.#link.close();
  }

  /** 0: the host chooses. */
  openFlow(): Promise<number> {
    return Promise.resolve(0);
  }

  openListener(port: number): Promise<number> {
    return Promise.resolve(port === 0 ? randomInt(FIRST_FREE_PORT, LAST_FREE_PORT + 1) : port);
  }

  retirePort(): void {}

  isRetired(): boolean {
    return false;
  }

  releasePort(): void {}
}

function openDevice(name: string, mtu: number | undefined): Tun {
  const open = devices.get(name);
  if (open !== undefined && !open.closed) return open;
  const tun = new Tun({ name, ...(mtu === undefined ? {} : { mtu }) });
  devices.set(name, tun);
  return tun;
}

/** Those that Linux gives to whoever asks for any. */
const FIRST_FREE_PORT = 32_768;
const LAST_FREE_PORT = 60_999;
const devices: Map<string, Tun> = new Map();
