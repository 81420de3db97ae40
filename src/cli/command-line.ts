// Arguments in, values out: what every command needs to read its own, and the one error for what cannot be.
//
// Before: main.ts, which prints the error and chooses the exit code. After: the command files.

import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The user asked for something that cannot be; the message is one line that says so. Exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/**
 * Errors of the system and of the API that mean the command line named what is not there, or not to be had.
 */
const mistakes: ReadonlySet<string> = new Set([
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EACCES',
  'ENOTFOUND',
  'ERR_INVALID_ARG_VALUE',
  'ERR_MPTCP_CAPTURE',
  'ERR_MPTCP_UNKNOWN_INTERFACE',
  'ERR_MPTCP_NO_PATH',
]);

export function commandLineMistake(error: unknown): boolean {
  return error instanceof UsageError || mistakes.has(codeOf(error));
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // One line, whatever the error has to say.
  return error.message.split('\n').join(' ') || codeOf(error) || error.name;
}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>;

/** `parseArgs`, with its complaints in one line of our own kind. */
export function readArguments<T extends Options>(args: string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true }) as Parsed<T>;
  } catch (error) {
    const message = messageOf(error).split('. ')[0] ?? '';
    throw new UsageError(message.replace(/^./, first => first.toLowerCase()));
  }
}

export function atMostPositionals(positionals: readonly string[], limit: number): void {
  const extra = positionals[limit];
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
}

export function wholeNumber(
  text: string | undefined,
  { name, min, max }: { name: string; min: number; max: number },
): number {
  if (text === undefined || text === '') throw new UsageError(`${name} is missing`);
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`${name} has to be a whole number from ${min} to ${max}, not "${text}"`);
  }
  return value;
}

/** The option of the API that `--pcap` stands for. */
export function captureOption(file: string | undefined): { pcap?: string } {
  if (file === undefined) return {};
  if (file === '') throw new UsageError('--pcap needs the name of a file');
  return { pcap: file };
}

/** The options of the API that `--tun` stands for. */
export function tunOption(device: string | undefined): { link?: 'tun'; device?: string } {
  return device === undefined ? {} : { link: 'tun', device };
}

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}
