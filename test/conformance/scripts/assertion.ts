// Decides what the assertions of a script about TCP_INFO mean: lines of Python in `%{ … }%`, of which
// comparisons, arithmetic and and, or, not are understood. Before: run-script.

import { runInNewContext } from 'node:vm';
import { constants } from '../../../src/host/index.ts';
import { Unsupported } from './script.ts';

/** null when all hold, else the first that does not, with the values it names. */
export function failedAssertion(code: string, info: Readonly<Record<string, unknown>>): string | null {
  const scope: Record<string, unknown> = { ...constants };
  for (const [name, value] of Object.entries(info))
    scope[name] = typeof value === 'bigint' ? Number(value) : value;
  for (const line of code
    .replaceAll('\\\n', ' ')
    .split(/[\n;]/)
    .map(text => text.replace(/#.*/, '').trim())) {
    if (line === '' || line.startsWith('print') || line.startsWith('import')) continue;
    if (!line.startsWith('assert')) throw new Unsupported(`assertion '${line}'`);
    const condition = beforeComma(line.slice(6));
    const named = [...new Set(condition.match(/tcpi_\w+/g) ?? [])];
    const missing = named.filter(name => scope[name] === undefined);
    if (missing.length > 0) throw new Unsupported(`${missing.join(', ')} in an assertion`);
    if (!holds(condition, scope)) {
      return `${condition.trim()} does not hold: ${named.map(name => `${name} is ${String(scope[name])}`).join(', ')}`;
    }
  }
  return null;
}

function beforeComma(text: string): string {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if ('([{'.includes(text[i])) depth++;
    if (')]}'.includes(text[i])) depth--;
    if (text[i] === ',' && depth === 0) return text.slice(0, i);
  }
  return text;
}

function holds(condition: string, scope: Record<string, unknown>): boolean {
  try {
    return Boolean(runInNewContext(javascript(condition), scope));
  } catch (error) {
    if ((error as Error).name === 'ReferenceError') throw new Unsupported((error as Error).message);
    throw error;
  }
}

function javascript(python: string): string {
  return python
    .replace(/([\w.]+)\s*(<=?)\s*([\w.]+)\s*(<=?)\s*([\w.]+)/g, '($1 $2 $3 && $3 $4 $5)')
    .replace(/\band\b/g, '&&')
    .replace(/\bor\b/g, '||')
    .replace(/\bnot\b/g, '!')
    .replace(/\bTrue\b/g, 'true')
    .replace(/\bFalse\b/g, 'false');
}
