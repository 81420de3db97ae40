// Files that packets are recorded into, as pcapng.
//
// Decides: that a packet is in the file before it goes on its way, so that the file can be read at any
// moment, however the process ends; that everybody who names the same file writes into the same one; and that
// a file which can no longer be written costs the recording and not the connection.
// Walk: api/stack asks for one; link/pcap says what goes into it.

import { closeSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { Capture } from '../link/index.ts';
import { wallClockUs } from './clock.ts';
import { codeOf, MptcpError } from './errors.ts';

/** One file, while somebody records into it. */
export class CaptureFile {
  readonly capture: Capture;
  readonly #path: string;
  readonly #fd: number;
  #users = 1;
  #broken = false;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openFile(path);
    this.capture = new Capture({ write: bytes => this.#write(bytes), nowUs: wallClockUs });
  }

  use(): this {
    this.#users++;
    return this;
  }

  /** Closes the file when nobody else records into it. */
  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    openFiles.delete(this.#path);
    this.#broken = true;
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    if (this.#broken) return;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at, bytes.length - at);
    } catch (error) {
      this.#broken = true;
      process.emitWarning(`the capture ${this.#path} ends here: ${(error as Error).message}`);
    }
  }
}

/** The file to record into; begun anew unless somebody records into it already. */
export function captureFileAt(path: string): CaptureFile {
  const full = resolve(path);
  const open = openFiles.get(full);
  if (open !== undefined) return open.use();
  const file = new CaptureFile(full);
  openFiles.set(full, file);
  return file;
}

function openFile(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    const code = codeOf(error);
    throw new MptcpError('ERR_MPTCP_CAPTURE', {
      sentence: `cannot write the capture ${path}: ${REASONS[code] ?? code}`,
      cause: error,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'there is no such folder',
  EISDIR: 'it is a folder',
  EACCES: 'not allowed',
  EPERM: 'not allowed',
  EROFS: 'not allowed',
};
const openFiles: Map<string, CaptureFile> = new Map();
