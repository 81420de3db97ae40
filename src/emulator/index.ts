// The public face of the room: what the command may import from emulator.

export {
  type Relay,
  type RelayDirectionStats,
  type RelayOptions,
  type RelayPathOptions,
  type RelayPathStats,
  start as startRelay,
} from './udp-relay.ts';
