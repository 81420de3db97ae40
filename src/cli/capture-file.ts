// `--pcap FILE` of commands that record by themselves; those with sockets leave it to the API.
//
// Decides: that a file which cannot be opened is the user's mistake, and that one which can no longer be
// written costs the recording and nothing else.

import { openSync, writeSync } from 'node:fs';
import { messageOf, UsageError } from './command-line.ts';

/** Opens a file for writing, empty. */
export function openForWriting(file: string): number {
  try {
    return openSync(file, 'w');
  } catch (error) {
    throw new UsageError(`cannot write ${file}: ${messageOf(error)}`);
  }
}

/** A capture that is written as it grows; the system closes it with the process. */
export function captureWriter(file: string): (bytes: Uint8Array) => void {
  const fd = openForWriting(file);
  let broken = false;
  return bytes => {
    if (broken) return;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    } catch (error) {
      broken = true;
      process.emitWarning(`the capture ${file} ends here: ${messageOf(error)}`);
    }
  };
}
