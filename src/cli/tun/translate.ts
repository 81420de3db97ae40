// `mptcp tun translate`: what has to be set up around the translator, and its end.
//
// Decides: that TCP from the server's port is routed to the device (a rule by source port and a table of its
// own), and that all of it is taken back in the end. Rules that a killed process left behind lead to a table
// that is empty then, and do no harm. Before: tun.ts. After: emulator/tun-translator.ts.

import { existsSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { startTranslator } from '../../emulator/index.ts';
import { captureWriter } from '../capture-file.ts';
import { UsageError } from '../command-line.ts';
import { Setup } from './setup.ts';

export interface TranslateOptions {
  readonly name: string;
  readonly port: number;
  readonly mtu: number;
  readonly table: number;
  /** None: every address that others can reach. */
  readonly addresses: readonly string[];
  /** The file to record into. */
  readonly pcap?: string;
}

export async function translate({
  name,
  port,
  mtu,
  table,
  pcap,
  ...wanted
}: TranslateOptions): Promise<number> {
  if (existsSync(`/sys/class/net/${name}`)) throw new UsageError(`there is a device ${name} already`);
  const addresses = wanted.addresses.length > 0 ? wanted.addresses : reachableAddresses();
  if (addresses.length === 0) throw new UsageError('this machine has no address that others can reach');
  const capture =
    pcap === undefined
      ? undefined
      : { write: captureWriter(pcap), nowUs: () => (performance.timeOrigin + performance.now()) * 1000 };
  const setup = new Setup();
  // From here on an interruption does not end the process but this function.
  let stop: () => void = () => {};
  const interrupted = new Promise<void>(resolve => {
    stop = resolve;
  });
  for (const signal of SIGNALS) process.once(signal, stop);
  const translator = await startTranslator({ device: name, port, mtu, addresses, capture });
  const alive = setInterval(() => {}, LONG_MS);
  try {
    setup.ip(`link set dev ${name} mtu ${mtu} up`);
    // Clients' packets come in here, and the way to them is another: loose, whatever the system's default is.
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '2');
    for (const family of [4, 6]) {
      if (!addresses.some(address => address.includes(':') === (family === 6))) continue;
      setup.ip(`-${family} route replace default dev ${name} table ${table}`);
      const rule = `ipproto tcp sport ${port} lookup ${table}`;
      setup.onFailure(`-${family} rule delete ${rule}`);
      addRule(setup, `-${family} rule add ${rule}`);
    }
    process.stdout.write(`translating TCP in UDP for port ${port} of ${addresses.join(', ')}\n`);
    await interrupted;
    return 0;
  } finally {
    setup.undo();
    translator.close();
    clearInterval(alive);
  }
}

/** One that is there already will do. */
function addRule(setup: Setup, command: string): void {
  try {
    setup.ip(command);
  } catch (error) {
    if (!(error as Error).message.includes('File exists')) throw error;
  }
}

function reachableAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap(entries => entries ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address }) => address);
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Neither sockets nor the device keep a process alive. */
const LONG_MS = 2 ** 31 - 1;
