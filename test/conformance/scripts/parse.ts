// Decides how a packet script is read: comments away, `--` lines, then events, each from its time to the next.
// Before: run. After: run-script, which plays what stands here.

import { parseIcmp, parsePacket } from './parse-packet.ts';
import { type CallEvent, type Event, type Script, Unsupported, type When } from './script.ts';
import { parseValues } from './values.ts';

/** Reads a script; throws Unsupported, naming the line, where it says something unknown. */
export function parseScript(name: string, text: string, defines: ReadonlyMap<string, string>): Script {
  const settings = new Map<string, string>();
  const lines = withoutComments(text).split('\n');
  const events: Event[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at].trim();
    const from = at;
    if (line === '') {
      at++;
    } else if (line.startsWith('--')) {
      for (const setting of line.split(/\s+(?=--)/)) {
        const [key, ...value] = setting.slice(2).split('=');
        settings.set(key.trim(), value.join('=').trim());
      }
      at++;
    } else {
      let whole = line;
      at++;
      while (at < lines.length && !isWhole(whole)) whole += '\n' + lines[at++];
      try {
        events.push(parseEvent(whole, from + 1, defines));
      } catch (error) {
        if (error instanceof Unsupported) throw new Unsupported(`line ${from + 1}: ${error.message}`);
        throw error;
      }
    }
  }
  return { name, settings, events };
}

/** Whether all brackets, backquotes and braces are closed, and a call has its result. */
function isWhole(text: string): boolean {
  if (text.includes('`')) return (text.match(/`/g) ?? []).length % 2 === 0;
  if (text.includes('%{')) return text.includes('}%');
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, '');
  const open = (bare.match(/[([{]/g) ?? []).length;
  const shut = (bare.match(/[)\]}]/g) ?? []).length;
  if (open > shut) return false;
  const isPacket = /^\S+\s*[<>]/.test(bare);
  return isPacket || /=\s*[-\w.]+[^=]*$/.test(bare);
}

function parseEvent(text: string, line: number, defines: ReadonlyMap<string, string>): Event {
  const closed = text.replace(BLANKS, '$1...');
  const match = TIME.exec(closed);
  if (match === null) {
    if (text.startsWith('`')) return { when: NOW, line, text, type: 'shell', command: text.slice(1, -1) };
    if (text.startsWith('%{')) return { when: NOW, line, text, type: 'assert', code: inside(text) };
    throw new Unsupported(`no time in '${text}'`);
  }
  const when = parseWhen(match[1]);
  const rest = closed.slice(match[0].length).trim();
  const event = { when, line, text: rest.replace(/\s+/g, ' ') };
  if (rest.startsWith('`')) return { ...event, type: 'shell', command: rest.slice(1, rest.lastIndexOf('`')) };
  if (rest.startsWith('%{')) return { ...event, type: 'assert', code: inside(rest) };
  if (/^<\s*icmp/.test(rest)) return { ...event, ...parseIcmp(rest) };
  if (rest.startsWith('<') || rest.startsWith('>')) return { ...event, ...parsePacket(rest, defines) };
  return { ...event, ...parseCall(rest, defines) };
}

function inside(text: string): string {
  return text.slice(text.indexOf('%{') + 2, text.lastIndexOf('}%'));
}

function parseWhen(text: string): When {
  if (text === '*') return { kind: 'any', start: 0, latest: null, end: null };
  const kind = text.startsWith('+') ? 'relative' : 'absolute';
  const [start, end] = text.split('...');
  const [first, latest] = start.split('~');
  return {
    kind,
    start: Number(first),
    latest: latest === undefined ? null : Number(latest),
    end: end === undefined ? null : Number(end),
  };
}

function parseCall(text: string, defines: ReadonlyMap<string, string>): CallEvent {
  const match = /^(\w+)\s*\(([\s\S]*)\)\s*=\s*(\.\.\.|-?0x[0-9a-fA-F]+|-?\d+)\s*([A-Z][A-Z0-9]+)?/.exec(text);
  if (match === null) throw new Unsupported(`'${text}' is neither a packet nor a call with its result`);
  const [, name, args, result, error] = match;
  return {
    type: 'call',
    name,
    args: parseValues(args, defines),
    result: result === '...' ? null : Number(result),
    error: error ?? null,
  };
}

/** `// …`, `/* … *\/` and lines of `#`; not within quotes or backquotes. */
function withoutComments(text: string): string {
  return text.replace(
    /`[^`]*`|%\{[\s\S]*?\}%|"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\/|^\s*#[^\n]*/gm,
    found => (/^[`"%]/.test(found) ? found : found.replace(/[^\n]/g, '')),
  );
}

/** `+.002 ... 0.004`: blanks around the dots. */
const BLANKS = /^([+\d.]+)\s*\.\.\.\s*(?=[+\d.])/;
const TIME = /^(\*|\+?\s*[\d.]+?(?:~\+?[\d.]+?)?(?:\.\.\.\+?[\d.]+)?)(?=[\s<>`%]|$)/;
const NOW: When = { kind: 'relative', start: 0, latest: null, end: null };
