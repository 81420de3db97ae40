// `mptcp demo [FILE]`: what `npm start` runs. Reads the command line, lets demo/conductor.ts conduct the
// transfer, and shows it: as it goes (demo/screen.ts), and what came of it (demo/result.ts).

import { accessSync, closeSync, constants, statSync } from 'node:fs';
import { openForWriting } from './capture-file.ts';
import {
  atMostPositionals,
  captureOption,
  messageOf,
  readArguments,
  UsageError,
  wholeNumber,
} from './command-line.ts';
import { conduct, type DemoView } from './demo/conductor.ts';
import { describe, networks } from './demo/networks.ts';
import { resultLines } from './demo/result.ts';
import { openView } from './demo/screen.ts';

export const usage: string = `mptcp demo [FILE] [--cut NETWORK] [--size MEGABYTES] [--pcap FILE] [--json]

Sends FILE from one process to another over two emulated networks on this machine, both at once, and cuts one
of them off on the way without telling anybody.

  FILE               what to send, repeated to 100 MB if it has less than 64 MiB
                     (default: the running Node executable)
  --cut NETWORK      the network to lose from 40 % to 70 % of the bytes: wifi (default), lte, none
  --size MEGABYTES   send this much instead, repeating or cutting FILE
  --pcap FILE        record the packets of the sending process, as pcapng, for Wireshark and tcpdump
  --json             print one object at the end and nothing else

${networks.map(network => `  ${network.name.padEnd(6)} ${describe(network)}`).join('\n')}

The exit code is 0 only if every byte arrived as it was sent.
`;

const megabyte = 1_000_000;
const repeatBelowBytes = 64 * 1024 * 1024;
const repeatToBytes = 100 * megabyte;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    cut: { type: 'string', default: 'wifi' },
    size: { type: 'string' },
    pcap: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  atMostPositionals(positionals, 1);
  const file = positionals[0] ?? process.execPath;
  const cut = networks.findIndex(network => network.name === values.cut);
  if (cut < 0 && values.cut !== 'none') {
    const names = networks.map(network => network.name).join(', ');
    throw new UsageError(`--cut takes ${names} or none, not "${values.cut}"`);
  }
  const fileBytes = readableSize(file);
  const bytes =
    values.size === undefined
      ? sizeToSend(fileBytes)
      : megabyte * wholeNumber(values.size, { name: '--size', min: 1, max: 100_000 });
  const capture = captureOption(values.pcap);
  // Here, because the process that will write it can only fail.
  if (capture.pcap !== undefined) closeSync(openForWriting(capture.pcap));
  const stop = new AbortController();
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const onSignal = (signal: NodeJS.Signals): void => stop.abort(signal);
  for (const signal of signals) process.on(signal, onSignal);
  const view: DemoView = values.json ? { progress() {}, event() {}, close() {} } : openView(process.stdout);
  try {
    const result = await conduct({ file, bytes, cut, view, signal: stop.signal, ...capture });
    view.close();
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : resultLines(result).join('\n'));
    return result.intact ? 0 : 1;
  } catch (error) {
    view.close();
    if (!stop.signal.aborted) throw error;
    process.stderr.write(`mptcp demo: stopped by ${messageOf(stop.signal.reason)}\n`);
    return stop.signal.reason === 'SIGINT' ? 130 : 143;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

function readableSize(file: string): number {
  try {
    accessSync(file, constants.R_OK);
    const stats = statSync(file);
    if (!stats.isFile()) throw new UsageError(`${file} is not a file`);
    if (stats.size === 0) throw new UsageError(`${file} is empty`);
    return stats.size;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'not allowed' : messageOf(error);
    throw new UsageError(`cannot read ${file}: ${why}`);
  }
}

function sizeToSend(fileBytes: number): number {
  return fileBytes < repeatBelowBytes ? repeatToBytes : fileBytes;
}
