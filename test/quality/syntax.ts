// What a compiled file consists of: its statements, its branches, and the places where a mutation may be made.
//
// A branch is an arm of an `if` (both, the one that is not written included), of a conditional expression, of `&&`,
// `||` and `??` (the right one), or a case of a `switch` that has a body.
// Before it: scratch.ts. After it: coverage.ts counts what was reached, mutation.ts changes what may be changed.

import { type AnyNode, type BinaryExpression, type Literal, parse } from 'acorn';

/** One arm; taken as often as `at` was reached, less how often `unless` was. */
export interface Branch {
  what: string;
  /** Where a reader looks for it. */
  place: number;
  at: number;
  unless?: number;
}

export interface Mutant {
  start: number;
  end: number;
  /** The text instead of what stands there. */
  text: string;
}

/** Where each executable statement begins. */
export function statementsOf(source: string): number[] {
  const starts: number[] = [];
  walk(treeOf(source), node => {
    const counts = /Statement$|^VariableDeclaration$/.test(node.type) && !/^(Block|Empty)/.test(node.type);
    if (counts) starts.push(node.start);
  });
  return starts;
}

export function branchesOf(source: string): Branch[] {
  const branches: Branch[] = [];
  walk(treeOf(source), node => {
    if (node.type === 'IfStatement') {
      branches.push({ what: 'if', place: node.start, at: node.consequent.start });
      const other: Branch = {
        what: 'else',
        place: node.start,
        at: node.start,
        unless: node.consequent.start,
      };
      const written = node.alternate;
      branches.push(written ? { what: 'else', place: written.start, at: written.start } : other);
    } else if (node.type === 'ConditionalExpression') {
      branches.push({ what: '?', place: node.consequent.start, at: node.consequent.start });
      branches.push({ what: ':', place: node.alternate.start, at: node.alternate.start });
    } else if (node.type === 'LogicalExpression') {
      branches.push({ what: node.operator, place: node.right.start, at: node.right.start });
    } else if (node.type === 'SwitchCase' && node.consequent.length > 0) {
      const at = node.consequent[0].start;
      branches.push({ what: node.test ? 'case' : 'default', place: node.start, at });
    }
  });
  return branches;
}

/** Every mutation that could be made, in the order of the text. What is left out and why: `isExcluded`. */
export function mutantsOf(source: string): Mutant[] {
  const mutants: Mutant[] = [];
  walk(treeOf(source), (node, parents) => {
    if (node.type === 'BinaryExpression') {
      const other = flips[node.operator];
      if (isBorderless(node, parents)) return;
      if (other !== undefined) mutants.push(operatorMutant(source, node.left, node.right, other));
      else if (isStepByOne(node)) {
        mutants.push(operatorMutant(source, node.left, node.right, node.operator === '+' ? '-' : '+'));
      }
    } else if (node.type === 'LogicalExpression' && node.operator !== '??') {
      mutants.push(operatorMutant(source, node.left, node.right, node.operator === '&&' ? '||' : '&&'));
    } else if (node.type === 'Literal' && typeof node.value === 'number') {
      if (isExcluded(node, parents)) return;
      mutants.push({ start: node.start, end: node.end, text: otherNumber(node) });
    }
  });
  return mutants.sort((a, b) => a.start - b.start);
}

const flips: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
};

/**
 * Bits, lengths and small counts become one more. Times and sizes are doubled: a timer of 200 ms that ran for 201 is
 * nothing that a peer could see.
 */
function otherNumber(node: Literal): string {
  const value = node.value as number;
  const small = value < 256 || /^0x/i.test(node.raw ?? '');
  if (!Number.isInteger(value)) return String(value * 2);
  return String(small ? value + 1 : value * 2);
}

/** `x + 1` and `x - 1` are flipped as a whole, and the number in them not once more. */
function isStepByOne(node: BinaryExpression): boolean {
  const literal = node.right.type === 'Literal' && node.right.value === 1;
  return literal && (node.operator === '+' || node.operator === '-');
}

/**
 * Numbers that no peer and no application could tell from others:
 * the number of elements an array is made with (it grows, or is larger than it need be); the base in which a text
 * writes a number, and how many digits; what is in a text or an error; and what is named as a matter of speed.
 * 0 and -1, where they are no named constant, are beginnings, first places and "none": where something is compared
 * with them, the operator is changed.
 */
function isExcluded(node: Literal, parents: readonly AnyNode[]): boolean {
  const parent = parents.at(-1);
  if (parent?.type === 'BinaryExpression' && isStepByOne(parent) && parent.right === node) return true;
  const negative = parent?.type === 'UnaryExpression' && parent.operator === '-';
  if ((node.value === 0 || (node.value === 1 && negative)) && !parents.some(isNamedConstant)) return true;
  for (const [i, above] of parents.entries()) {
    const below = parents[i + 1] ?? node;
    if (above.type === 'NewExpression' && above.callee.type === 'Identifier') {
      if (/Array$|^ArrayBuffer$|Error$|^Ring$/.test(above.callee.name)) return true;
    }
    if (above.type === 'TemplateLiteral' || above.type === 'ThrowStatement') return true;
    if (
      above.type === 'CallExpression' &&
      above.callee.type === 'MemberExpression' &&
      above.callee !== below
    ) {
      const { property } = above.callee;
      if (property.type === 'Identifier' && /^(toString|padStart|padEnd|toFixed)$/.test(property.name))
        return true;
    }
    if (above.type === 'VariableDeclarator' && above.id.type === 'Identifier') {
      if (speedOnly.includes(above.id.name)) return true;
    }
  }
  return false;
}

/** A constant of a module, or a table of them. */
function isNamedConstant(node: AnyNode): boolean {
  return node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && /^[A-Z]/.test(node.id.name);
}

/**
 * Comparisons whose border does not matter, whatever the values are: the larger or the smaller of two is kept, and at
 * the border they are the same; room is made when it is needed, where one element earlier is nothing that anybody
 * sees; and which of two ways of copying is the faster.
 */
function isBorderless(node: BinaryExpression, parents: readonly AnyNode[]): boolean {
  if (!/^[<>]=?$/.test(node.operator)) return false;
  const parent = parents.at(-1);
  const sides = [keyOf(node.left), keyOf(node.right)];
  if ([node.left, node.right].some(side => side.type === 'Identifier' && speedOnly.includes(side.name)))
    return true;
  if (parent?.type === 'ConditionalExpression' && parent.test === node) {
    return sides.includes(keyOf(parent.consequent)) && sides.includes(keyOf(parent.alternate));
  }
  if (parent?.type !== 'IfStatement' || parent.test !== node || parent.alternate) return false;
  const block = parent.consequent.type === 'BlockStatement' ? parent.consequent.body : [parent.consequent];
  const only = block.length === 1 && block[0].type === 'ExpressionStatement' ? block[0].expression : null;
  if (only?.type === 'AssignmentExpression' && only.operator === '=') {
    return sides.includes(keyOf(only.left)) && sides.includes(keyOf(only.right));
  }
  if (only?.type !== 'CallExpression' || only.callee.type !== 'MemberExpression' || node.operator !== '>')
    return false;
  const { property } = only.callee;
  return (
    (property.type === 'Identifier' || property.type === 'PrivateIdentifier') && property.name === 'grow'
  );
}

/** The same for two expressions that consist of the same names. */
function keyOf(node: AnyNode): string {
  if (node.type === 'Identifier' || node.type === 'PrivateIdentifier') return node.name;
  if (node.type === 'ThisExpression') return 'this';
  if (node.type === 'Literal') return `${node.value}`;
  if (node.type === 'MemberExpression' && !node.computed)
    return `${keyOf(node.object)}.${keyOf(node.property)}`;
  return `at ${node.start}`;
}

/** Capacities that grow when they are reached; from which length on bytes are copied in which way. */
const speedOnly: readonly string[] = [
  'INITIAL_CAPACITY',
  'INITIAL_RANGES',
  'SPARE_ENTRIES',
  'WORDS_FROM_BYTES',
  'SET_FROM_BYTES',
  'unrolled',
];

function operatorMutant(source: string, left: AnyNode, right: AnyNode, other: string): Mutant {
  // Between the operands there are, besides the operator, only blanks, parentheses and comments.
  const between = source.slice(left.end, right.start);
  const blanked = between.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, text => ' '.repeat(text.length));
  const found = /[<>=!&|+-]+/.exec(blanked);
  if (found === null) throw new Error(`no operator in ${JSON.stringify(between)}`);
  const start = left.end + found.index;
  return { start, end: start + found[0].length, text: other };
}

function treeOf(source: string): AnyNode {
  return parse(source, { ecmaVersion: 'latest', sourceType: 'module' });
}

function walk(node: AnyNode, visit: (node: AnyNode, parents: readonly AnyNode[]) => void): void {
  const parents: AnyNode[] = [];
  const enter = (one: AnyNode): void => {
    visit(one, parents);
    parents.push(one);
    for (const value of Object.values(one)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (typeof child?.type === 'string') enter(child as AnyNode);
      }
    }
    parents.pop();
  };
  enter(node);
}
