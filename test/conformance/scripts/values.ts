// Decides how the arguments of a call are read: numbers, strings, names, lists and structures as packetdrill
// writes them. Before: parse. After: calls.

import { Unsupported, type Value } from './script.ts';

/** Reads `a, b, [c], {d=e}`. */
export function parseValues(text: string, defines: ReadonlyMap<string, string>): Value[] {
  const reader = new Reader(text, defines);
  const values: Value[] = [];
  while (!reader.atEnd) {
    values.push(reader.value());
    if (!reader.take(',')) break;
  }
  if (!reader.atEnd) throw new Unsupported(`cannot read '${reader.rest}' in '${text}'`);
  return values;
}

class Reader {
  private readonly tokens: readonly string[];
  private readonly defines: ReadonlyMap<string, string>;
  private at = 0;

  constructor(text: string, defines: ReadonlyMap<string, string>) {
    this.tokens = text.match(TOKEN) ?? [];
    this.defines = defines;
  }

  get atEnd(): boolean {
    return this.at >= this.tokens.length;
  }

  get rest(): string {
    return this.tokens.slice(this.at).join(' ');
  }

  take(token: string): boolean {
    if (this.tokens[this.at] !== token) return false;
    this.at++;
    return true;
  }

  value(): Value {
    const parts = [this.operand()];
    while (this.take('|')) parts.push(this.operand());
    if (parts.length === 1) return parts[0] as Value;
    return {
      name: parts.map(part => (typeof part === 'object' && 'name' in part ? part.name : `${part}`)).join('|'),
    };
  }

  private operand(): Value {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new Unsupported('an argument is missing');
    if (token === '...') return { any: true };
    if (token === '[') return { list: this.until(']') };
    if (token === '{') return this.structure();
    if (token.startsWith('"')) return token.slice(1, -1);
    if (/^-?(0x[0-9a-fA-F]+|\d+)$/.test(token)) return Number(token);
    if (!/^[A-Za-z_]/.test(token)) throw new Unsupported(`'${token}' is no argument`);
    // `inet_addr("…")`, `msg_iov(1)`, `htons(80)`: what stands in the parentheses.
    if (this.take('(')) {
      const inner = this.until(')');
      return token.startsWith('msg_') ? { name: token } : (inner[0] ?? 0);
    }
    return { name: this.defines.get(token) ?? token };
  }

  private until(close: string): Value[] {
    const values: Value[] = [];
    while (!this.take(close)) {
      values.push(this.value());
      if (!this.take(',') && this.tokens[this.at] !== close) {
        throw new Unsupported(`'${close}' is missing before '${this.rest}'`);
      }
    }
    return values;
  }

  private structure(): Value {
    const fields = new Map<string, Value>();
    for (let i = 0; !this.take('}'); i++) {
      const first = this.value();
      if (this.take('='))
        fields.set(typeof first === 'object' && 'name' in first ? first.name : `${i}`, this.value());
      else fields.set(`${i}`, first);
      if (!this.take(',') && this.tokens[this.at] !== '}') {
        throw new Unsupported(`'}' is missing before '${this.rest}'`);
      }
    }
    return { fields };
  }
}

const TOKEN = /\.\.\.|"(?:[^"\\]|\\.)*"|-?0x[0-9a-fA-F]+|-?\d+|[A-Za-z_]\w*|[[\](){},=|]/g;
