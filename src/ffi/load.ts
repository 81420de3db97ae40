// Finds a foreign function interface, on first use and never at import: Node's own where it is built in, else
// the package koffi where it is installed.
//
// Decides: the order (node:ffi needs no native package), that the answer is remembered, and the words of the
// one error there is. node:ffi prints Node's warning about experimental features when it is first used.
// Walk: link/tun and kernel come here; see foreign.ts for what they get.

import type { Foreign } from './foreign.ts';
import { koffiForeign } from './koffi.ts';
import { nodeForeign } from './node-ffi.ts';

/** The interface of this process. Throws an error with code `ERR_FFI_UNAVAILABLE` that says what to do. */
export function foreign(): Foreign {
  loaded ??= load([nodeForeign, koffiForeign]);
  return loaded;
}

/** The first provider that is there; each gives undefined, or throws, when it is not. */
export function load(providers: readonly (() => Foreign | undefined)[]): Foreign {
  const causes: string[] = [];
  for (const provider of providers) {
    try {
      const found = provider();
      if (found !== undefined) return found;
    } catch (error) {
      causes.push(error instanceof Error ? error.message.split('\n', 1)[0] : String(error));
    }
  }
  const why = causes.length > 0 ? ` (${causes.join('; ')})` : '';
  const text =
    `no foreign function interface: this Node has no node:ffi (Node 26 and later have), and the package
 koffi is not usable; npm install koffi${why}`.replace('\n', '');
  throw Object.assign(new Error(text), { code: 'ERR_FFI_UNAVAILABLE' });
}

let loaded: Foreign | undefined;
