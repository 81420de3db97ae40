// The public face of the room: what tcp, mptcp and host may import from congestion.

export type { CongestionController } from './controller.ts';
export { Coupling } from './lia.ts';
export { type CongestionName, createController } from './names.ts';
