// Every normative rule of RFC 8684, in its order: each MUST, SHOULD and MAY of the text, and what it states
// without a key word where something depends on it.

import type { Rule } from './rule.ts';
import { CONTROL_RULES } from './rules-control.ts';
import { DATA_RULES } from './rules-data.ts';
import { HANDSHAKE_RULES } from './rules-handshake.ts';

export const RULES: readonly Rule[] = [...HANDSHAKE_RULES, ...DATA_RULES, ...CONTROL_RULES];
