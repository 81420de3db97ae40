// How the demo looks: redrawn in place on a terminal, about one plain line a second anywhere else.
// Before: conductor.ts says what is so. After: standard output.

import type { WriteStream } from 'node:tty';
import type { DemoView, PathView, Progress } from './conductor.ts';

export function openView(output: NodeJS.WriteStream): DemoView {
  return output.isTTY && process.env['TERM'] !== 'dumb' ? new LiveView(output) : new PlainView(output);
}

/** The rows of the picture, none wider than `columns`. */
export function picture(progress: Progress, columns: number): string[] {
  const { deliveredBytes, totalBytes, elapsedMs, rateMbps, paths } = progress;
  const part = totalBytes > 0 ? deliveredBytes / totalBytes : 0;
  const amounts = `${megabytes(deliveredBytes)} of ${megabytes(totalBytes)}`;
  const tail = ` ${percent(part)}  ${amounts}  ${mbps(rateMbps)}  ${seconds(elapsedMs)}`;
  const rows = [
    ` ${bar(part, Math.max(columns - tail.length - 4, 8))}${tail}`,
    '',
    columnsOf(['path', 'state', 'rate', 'RTT', 'share']),
    ...paths.map(path => {
      const facts = [mbps(path.rateMbps), rtt(path), percent(path.share)];
      const head = columnsOf([path.title, stateOf(path), ...facts]);
      return `${head}  ${bar(path.share, Math.max(columns - head.length - 5, 0))}`;
    }),
  ];
  return rows.map(row => row.slice(0, Math.max(columns - 1, 20)).trimEnd());
}

/** The same in one line. */
export function plainLine({ elapsedMs, deliveredBytes, totalBytes, rateMbps, paths }: Progress): string {
  const facts = paths.map(
    path =>
      `${path.title} ${stateOf(path)} ${mbps(path.rateMbps)} ${rtt(path)} ${percent(path.share).trim()}`,
  );
  const part = totalBytes > 0 ? deliveredBytes / totalBytes : 0;
  return [`${seconds(elapsedMs)} ${percent(part)} ${mbps(rateMbps).padStart(12)}`, ...facts].join(' | ');
}

class PlainView implements DemoView {
  readonly #output: NodeJS.WriteStream;
  #nextMs = 0;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  progress(progress: Progress): void {
    if (progress.elapsedMs < this.#nextMs) return;
    this.#nextMs = progress.elapsedMs + plainEveryMs;
    this.#output.write(`${plainLine(progress)}\n`);
  }

  event(text: string, elapsedMs: number): void {
    this.#output.write(`${seconds(elapsedMs)} ${text}\n`);
  }

  close(): void {}
}

class LiveView implements DemoView {
  readonly #output: WriteStream;
  #drawnRows = 0;
  #latest: Progress | undefined;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    this.#output.write(hideCursor);
    process.once('exit', this.#showCursor);
  }

  progress(progress: Progress): void {
    this.#latest = progress;
    this.#draw([]);
  }

  /** Events stay above the picture and scroll away with what was there before. */
  event(text: string, elapsedMs: number): void {
    this.#draw([`${seconds(elapsedMs)} ${text}`]);
  }

  close(): void {
    this.#showCursor();
    process.off('exit', this.#showCursor);
  }

  #draw(above: string[]): void {
    const rows = this.#latest ? picture(this.#latest, this.#output.columns || 80) : [];
    const back = this.#drawnRows > 0 ? `\x1b[${this.#drawnRows}A` : '';
    const text = [...above, ...rows].map(row => `${row}${clearLine}\n`).join('');
    this.#output.write(`${back}\r${text}${clearBelow}`);
    this.#drawnRows = rows.length;
  }

  readonly #showCursor = (): void => {
    this.#output.write(showCursor);
  };
}

/** Two columns from the left, three from the right. */
function columnsOf([name = '', state = '', rate = '', rtt = '', share = '']: string[]): string {
  return ` ${name.padEnd(7)}${state.padEnd(17)}${rate.padStart(12)}${rtt.padStart(9)}${share.padStart(8)}`;
}

function stateOf(path: PathView): string {
  return path.up ? path.state : `${path.state} (cut)`;
}

function bar(part: number, width: number): string {
  const full = Math.min(Math.max(Math.round(part * width), 0), width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

function percent(part: number): string {
  return `${Math.round(100 * part)} %`.padStart(5);
}

function mbps(rate: number): string {
  return `${rate.toFixed(1)} Mbit/s`;
}

function rtt(path: PathView): string {
  return path.rttMs > 0 ? `${path.rttMs.toFixed(0)} ms` : '–';
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`.padStart(7);
}

const plainEveryMs = 1000;
const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';
const clearLine = '\x1b[K';
const clearBelow = '\x1b[J';
