// The public face of the room: what the simulator and the emulator may import from netmodel.

export type { Direction, Leave, Match, Middlebox } from './middlebox/box.ts';
export { createMiddlebox, MiddleboxChain, type MiddleboxPlan } from './middlebox/plan.ts';
export { MIDDLEBOX_ROWS, type MiddleboxRow, type MiddleboxVariant } from './middlebox/table.ts';
export { type LossReason, PathModel, type PathOptions, type Verdict } from './path.ts';
export { LINK_PROFILES, type LinkProfile, type LinkProfileName } from './profiles.ts';
export { Random, type RandomSource } from './random.ts';
