// Reading TypeScript without a parser: comments and literals blanked out, imports listed.
//
// Enough for the rules of this folder, because the formatter decides how the sources look. Columns and lines
// stay where they were, so that a rule can say where it found something.

export interface SourceFile {
  /** From the root of the repository, with forward slashes. */
  path: string;
  text: string;
}

/** The same text with comments, and if wanted the contents of literals, replaced by spaces. */
export function blank(text: string, options: { literals: boolean }): string {
  let out = '';
  let at = 0;
  // Depths of braces at which a template literal goes on after `${…}`.
  const templates: number[] = [];
  let depth = 0;
  while (at < text.length) {
    const end = tokenEnd(text, at, out, templates.at(-1) === depth);
    const token = text.slice(at, end);
    const kind = tokenKind(token, templates.at(-1) === depth);
    if (token === '{') depth += 1;
    if (token === '}') depth -= 1;
    if (kind === 'template' && token.endsWith('${')) {
      if (templates.at(-1) !== depth || !token.startsWith('}')) templates.push(depth + 1);
      depth = templates.at(-1) as number;
    } else if (kind === 'template' && token.startsWith('}')) {
      templates.pop();
      depth -= 1;
    }
    const hide = kind === 'comment' || (kind !== 'code' && options.literals);
    out += hide ? token.replace(/[^\n]/g, ' ') : token;
    at = end;
  }
  return out;
}

/**
 * What a file imports or re-exports, with the line. `typeOnly` when nothing of it is left after compiling.
 */
export function importsOf(
  text: string,
): { from: string; line: number; typeOnly: boolean; dynamic: boolean }[] {
  const code = blank(text, { literals: false });
  const found: { from: string; line: number; typeOnly: boolean; dynamic: boolean }[] = [];
  const statement = /^(import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  for (const match of code.matchAll(statement)) {
    found.push({
      from: match[3] ?? '',
      line: lineAt(code, match.index),
      typeOnly: Boolean(match[2]),
      dynamic: false,
    });
  }
  const call = /\b(?:import|require|getBuiltinModule)\s*\(\s*(?:['"]([^'"]*)['"])?/g;
  for (const match of code.matchAll(call)) {
    found.push({ from: match[1] ?? '', line: lineAt(code, match.index), typeOnly: false, dynamic: true });
  }
  return found;
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** Where the token that begins at `at` ends: a comment, a literal, or one character of code. */
function tokenEnd(text: string, at: number, before: string, inTemplate: boolean): number {
  const rest = text.slice(at, at + 2);
  if (rest === '//') return endOr(text, text.indexOf('\n', at));
  if (rest === '/*') return endOr(text, text.indexOf('*/', at + 2), 2);
  const first = text[at] as string;
  if (first === "'" || first === '"') return literalEnd(text, at + 1, first);
  if (first === '`' || (first === '}' && inTemplate)) return templateEnd(text, at + 1);
  if (
    first === '/' &&
    /(^|[=(,:;!&|?{}[+\-*%<>~^]|\b(return|typeof|case|in|of))\s*$/.test(before.slice(-40))
  ) {
    return regexEnd(text, at + 1);
  }
  return at + 1;
}

function tokenKind(token: string, inTemplate: boolean): 'comment' | 'literal' | 'template' | 'code' {
  if (token.startsWith('//') || token.startsWith('/*')) return 'comment';
  const first = token[0];
  if (first === '`' || (first === '}' && inTemplate)) return 'template';
  if (first === "'" || first === '"') return 'literal';
  return token.length > 1 ? 'literal' : 'code';
}

function endOr(text: string, index: number, length = 0): number {
  return index < 0 ? text.length : index + length;
}

function literalEnd(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === quote || text[at] === '\n') return at + 1;
  }
  return text.length;
}

function templateEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '`') return at + 1;
    else if (text[at] === '$' && text[at + 1] === '{') return at + 2;
  }
  return text.length;
}

function regexEnd(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at];
    if (char === '\\') at += 1;
    else if (char === '[') inClass = true;
    else if (char === ']') inClass = false;
    else if (char === '\n' || (char === '/' && !inClass)) return at + 1;
  }
  return text.length;
}
