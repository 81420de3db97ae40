// The public face of the room: what tcp, mptcp and host may import from congestion.

export { type CongestionController, type CongestionName, createController } from './controller.ts';
export { Coupling } from './lia.ts';
