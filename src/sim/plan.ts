// What a world consists of, as plain data: hosts, the paths between their interfaces, the connections
// with what the applications do, and what happens to the network meanwhile. A world is a function of
// this and nothing else; a plan can be printed, pasted into a test and run again.
// Before it: draw.ts (the swarm) or a person writes one. After it: world.ts builds and runs it.

import type { Config } from '../host/index.ts';
import type { MiddleboxPlan, PathOptions as PathModelOptions } from '../netmodel/index.ts';
import type { ApplicationPlan } from './application.ts';

/** An interface of a host. Interfaces are named by their place in the host's list. */
export interface InterfacePlan {
  address: string;
  /** Largest IP packet on the wire. */
  mtu: number;
  /** Largest super-segment the host may hand over; the path's entry splits it. Equal to `mtu`: no offload. */
  gsoMax: number;
  /** Leave TCP checksums out on both sides; only where nothing corrupts packets. */
  checksumOffload: boolean;
}

/** A host and the machine it runs on. */
export interface HostPlan {
  name: string;
  interfaces: InterfacePlan[];
  config: Partial<Config>;
  /** Local ports are opened by the machine, as over UDP: the host asks for every further one and waits. */
  externalPorts: boolean;
  /** Packets are handed over in batches: all that arrived within so many milliseconds of the first. */
  batchMs: number;
  /** Consecutive pieces of a batch are merged into super-segments, as receive offload does. */
  mergeReceived: boolean;
  /** Timers fire up to so many milliseconds late. */
  timerLatenessMs: number;
  /** Bytes that wait while the machine does not get to read them; more are lost. */
  inboxBytes: number;
}

/** One direction of a path. */
export type LinkPlan = PathModelOptions;

/** A path between two interfaces. */
export interface PathPlan {
  name: string;
  from: { host: number; interface: number };
  to: { host: number; interface: number };
  forward: LinkPlan;
  backward: LinkPlan;
  /** Tell the sender when a packet is dropped for its size (what ICMP would do). */
  reportsMtu: boolean;
  /** The first so many packets with SYN set, and without, are lost in that direction. */
  loseFirst: { forward: FirstLosses; backward: FirstLosses };
  /** What stands on the path, the first nearest to `from`. */
  middleboxes: MiddleboxPlan[];
}

/** Losses at the very beginning, where handshakes are. */
export interface FirstLosses {
  syns: number;
  others: number;
}

/** A connection between two hosts and the two applications on it. */
export interface ConnectionPlan {
  client: number;
  server: number;
  port: number;
  startMs: number;
  /** Interfaces of the client to use, the first for the initial subflow. */
  paths: ConnectionPathPlan[];
  /** The server's interface the connection is opened to. */
  serverInterface: number;
  multipath: boolean;
  checksum: boolean;
  /** Interfaces of the server that it advertises. */
  advertise: number[];
  /** The port it advertises them with; without one, the client goes to the port it knows. */
  advertisePort?: number;
  serverMultipath: boolean;
  clientApplication: ApplicationPlan;
  serverApplication: ApplicationPlan;
}

/** A path the client is to use. */
export interface ConnectionPathPlan {
  interface: number;
  backup: boolean;
  /** The server's interface it goes to, when not the one of the initial subflow. */
  serverInterface?: number;
}

/** Something that happens to the network or is done to a connection at a given time. */
export type WorldEvent =
  /** Nothing passes from now on, silently. */
  | { atMs: number; type: 'path-down'; path: number }
  | { atMs: number; type: 'path-up'; path: number }
  /** The host loses an address, and knows. */
  | { atMs: number; type: 'address-removed'; host: number; interface: number }
  /** The address is back; the client's connections are told to use it again. */
  | { atMs: number; type: 'address-added'; host: number; interface: number }
  /** The client of the connection may use one more path, or no longer one it uses. */
  | { atMs: number; type: 'path-added'; connection: number; path: ConnectionPathPlan }
  | { atMs: number; type: 'path-removed'; connection: number; interface: number }
  /** One end changes the backup flag of the newest subflow it has. */
  | { atMs: number; type: 'backup'; connection: number; side: 'client' | 'server'; backup: boolean }
  /** The machine does nothing for a while: a stalled event loop, a short sleep. */
  | { atMs: number; type: 'freeze'; host: number; forMs: number };

/** A whole world. */
export interface WorldPlan {
  seed: number;
  hosts: HostPlan[];
  paths: PathPlan[];
  connections: ConnectionPlan[];
  events: WorldEvent[];
  /** Virtual time after which whatever is still running has failed to finish. */
  horizonMs: number;
}
