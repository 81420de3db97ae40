// `mptcp tun up|down|translate`: the kernel's side of a TUN device. Next: tun/setup.ts, which runs `ip`, and
// tun/translate.ts.
//
// Decides: which commands of `ip` a device takes, that a device which was there already is completed rather
// than made anew, and that one which could not be set up does not stay behind half done.

import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { atMostPositionals, captureOption, readArguments, UsageError, wholeNumber } from './command-line.ts';
import { Setup } from './tun/setup.ts';
import { translate } from './tun/translate.ts';

export const usage: string = `mptcp tun up NAME [--address ADDRESS/PREFIX]... [--peer ADDRESS]...
             [--mtu BYTES] [--user USER]
mptcp tun down NAME
mptcp tun translate NAME --port PORT [--address ADDRESS]... [--mtu BYTES] [--table N]
             [--pcap FILE]

Sets up TUN devices of Linux, prints the commands it runs, and needs CAP_NET_ADMIN.

  up            makes the device NAME, or completes it, for connect and createServer with link: 'tun'
    --address   an address of the kernel's on the device, with its prefix length (10.7.0.1/24)
    --peer      an address of our stack, which the kernel is to route to the device (10.7.0.2)
    --mtu       largest packet, in bytes (default 1500)
    --user      who may use the device without CAP_NET_ADMIN
  down          removes the device, and with it its addresses and routes

  translate     lets the Multipath TCP server of this machine's kernel be reached by TCP in UDP, by way of the
                new device NAME, until it is interrupted. TCP from PORT leaves by UDP then, for every client:
                one that speaks TCP as it is is no longer served on that port.
    --port      the port that the server listens on, and the UDP port
    --address   an address of this machine that the server is reached at
                (default: every address but loopback and link-local ones)
    --mtu       largest packet, in bytes (default 1400)
    --table     the routing table that leads to the device (default 5000)
    --pcap      record every packet, as pcapng, for Wireshark and tcpdump: TCP in UDP as the TCP it carries
`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    address: { type: 'string', multiple: true, default: [] },
    peer: { type: 'string', multiple: true, default: [] },
    mtu: { type: 'string' },
    user: { type: 'string' },
    port: { type: 'string' },
    table: { type: 'string', default: '5000' },
    pcap: { type: 'string' },
  });
  atMostPositionals(positionals, 2);
  const [action = '', name = ''] = positionals;
  if (!['up', 'down', 'translate'].includes(action)) {
    throw new UsageError(`tun takes up, down or translate, not "${action}"`);
  }
  if (!/^[^\s/%]{1,15}$/.test(name)) {
    throw new UsageError(name === '' ? 'NAME is missing' : `"${name}" is no name for a device`);
  }
  if (process.platform !== 'linux') throw new Error(`there are no TUN devices on ${process.platform}`);
  const defaultMtu = action === 'translate' ? '1400' : '1500';
  const mtu = wholeNumber(values.mtu ?? defaultMtu, { name: '--mtu', min: 1280, max: 65_535 });
  if (action === 'down') return down(name);
  if (action === 'up') {
    const { address: addresses, peer: peers, user } = values;
    return up({ name, addresses, peers, mtu, ...(user === undefined ? {} : { user }) });
  }
  const port = wholeNumber(values.port, { name: '--port', min: 1, max: 65_535 });
  const table = wholeNumber(values.table, { name: '--table', min: 1, max: 2 ** 31 });
  for (const address of values.address) checkAddress('--address', address);
  return translate({ name, port, mtu, table, addresses: values.address, ...captureOption(values.pcap) });
}

interface Wanted {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly peers: readonly string[];
  readonly mtu: number;
  readonly user?: string;
}

function up({ name, addresses, peers, mtu, user }: Wanted): number {
  for (const text of addresses) {
    const [address = '', prefix = ''] = text.split('/');
    checkAddress('--address', address);
    wholeNumber(prefix, {
      name: `the prefix length of ${address}`,
      min: 0,
      max: isIP(address) === 4 ? 32 : 128,
    });
  }
  for (const peer of peers) checkAddress('--peer', peer);
  if (addresses.length + peers.length === 0) throw new UsageError('give an --address, a --peer or both');
  const present = existsSync(`/sys/class/net/${name}`);
  if (present) checkTun(name);
  const setup = new Setup();
  try {
    if (!present) setup.ip(`tuntap add dev ${name} mode tun${user === undefined ? '' : ` user ${user}`}`);
    if (!present) setup.onFailure(`link delete dev ${name}`);
    setup.ip(`link set dev ${name} mtu ${mtu} up`);
    for (const address of addresses) {
      setup.ip(`address replace ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
    }
    for (const peer of peers) setup.ip(`route replace ${peer} dev ${name}`);
  } catch (error) {
    setup.undo();
    throw error;
  }
  return 0;
}

function down(name: string): number {
  if (!existsSync(`/sys/class/net/${name}`)) throw new UsageError(`there is no device ${name}`);
  checkTun(name);
  new Setup().ip(`link delete dev ${name}`);
  return 0;
}

/** Other people's devices are left alone. */
function checkTun(name: string): void {
  if (!existsSync(`/sys/class/net/${name}/tun_flags`)) throw new UsageError(`${name} is no TUN device`);
}

function checkAddress(option: string, text: string): void {
  if (isIP(text) === 0) throw new UsageError(`${option} takes an IP address, not "${text}"`);
}
