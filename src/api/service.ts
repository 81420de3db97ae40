// What a connection is for, in the words of the option `service`.
//
// Decides: which words there are, and that what neither stack carries out is refused by name.
// Walk: api/options checks it; api/connector and api/kernel-paths carry it out.

import { MptcpError } from './errors.ts';

/** What a connection is for; see docs/api/options.md. 'redundant' is refused. */
export type Service = 'handover' | 'interactive' | 'aggregate' | 'redundant';

/** Throws for what is no service, or is not carried out. */
export function checkService(service: unknown): void {
  const refused = service === 'redundant' ? ': neither stack sends everything on every path' : '';
  if (refused === '' && SERVICES.has(service)) return;
  const shown = typeof service === 'string' ? JSON.stringify(service) : String(service);
  throw new MptcpError('ERR_INVALID_ARG_VALUE', {
    sentence: `option "service" is ${shown}${refused}`,
    remedy: "it must be 'handover', 'interactive' or 'aggregate'; or leave it out",
  });
}

const SERVICES: ReadonlySet<unknown> = new Set(['handover', 'interactive', 'aggregate']);
