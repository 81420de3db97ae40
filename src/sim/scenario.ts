// What happens to the network of a world and what is done to its connections, at the times the plan says.
// Before it: world.ts, when an event is due. After it: path models, hosts and connections.

import type { ConnectionRun } from './connection-run.ts';
import type { ConnectionPathPlan, WorldEvent } from './plan.ts';
import type { World } from './world.ts';

/** Makes the event happen now. */
export function applyEvent(world: World, event: WorldEvent): void {
  world.network.trace?.remark(world.nowMs, JSON.stringify(event));
  switch (event.type) {
    case 'path-down':
    case 'path-up':
      setPathUp(world, event.path, event.type === 'path-up');
      break;
    case 'address-removed':
      removeAddress(world, event.host, event.interface);
      break;
    case 'address-added':
      addAddress(world, event.host, event.interface);
      break;
    case 'path-added':
      addPath(world, world.connections[event.connection], event.path);
      break;
    case 'path-removed':
      removePath(world, world.connections[event.connection], event.interface);
      break;
    case 'backup':
      setBackup(world, world.connections[event.connection], event.side, event.backup);
      break;
    case 'freeze':
      world.drivers[event.host].freeze(event.forMs);
      break;
  }
}

function setPathUp(world: World, index: number, up: boolean): void {
  const path = world.paths[index];
  if (path.up === up) return;
  path.up = up;
  path.forward.model.setUp(up);
  path.backward.model.setUp(up);
  if (up) {
    path.upSinceMs = world.nowMs;
    path.longestOutageMs = Math.max(path.longestOutageMs, world.nowMs - path.downSinceMs);
  } else path.downSinceMs = world.nowMs;
}

function removeAddress(world: World, host: number, place: number): void {
  world.drivers[host].detach(place, world.nowMs);
  const gone = world.drivers[host].interfaces[place];
  for (const run of world.connections) {
    for (const one of run.paths) {
      if (one.path.forward.to === gone || one.path.backward.to === gone) run.loseRight(one);
    }
  }
}

// The client knows of its own address; that an address of the server is back nobody tells it, so a path to
// one stays taken away.
function addAddress(world: World, host: number, place: number): void {
  const driver = world.drivers[host];
  if (driver.ids[place] !== 0) return;
  driver.attach(place);
  for (const run of world.connections) {
    if (run.plan.client !== host) continue;
    for (const one of run.paths) {
      if (one.plan.interface === place && one.takenAway) addPath(world, run, one.plan);
    }
  }
}

function addPath(world: World, run: ConnectionRun, plan: ConnectionPathPlan): void {
  const options = world.pathOptions(run.plan, plan);
  const connection = run.client.connection;
  if (options === undefined || run.client.done) return;
  const path = world.pathFor(run.plan, plan);
  if (path.forward.to.present) run.usePath(plan, path);
  if (connection === undefined) return;
  connection.addPath(options, world.nowMs);
  world.drivers[run.plan.client].requestTurn(0);
}

function removePath(world: World, run: ConnectionRun, place: number): void {
  const driver = world.drivers[run.plan.client];
  const connection = run.client.connection;
  if (connection === undefined || run.client.done || driver.ids[place] === 0) return;
  connection.removePath(driver.ids[place], world.nowMs);
  for (const one of run.paths) if (one.plan.interface === place) run.loseRight(one);
  driver.requestTurn(0);
}

function setBackup(world: World, run: ConnectionRun, side: 'client' | 'server', backup: boolean): void {
  const app = side === 'client' ? run.client : run.server;
  const connection = app.connection;
  if (connection === undefined || app.done) return;
  const newest = connection
    .multipath()
    .subflows.filter(one => one.state === 'active')
    .at(-1);
  if (newest === undefined) return;
  connection.setBackup(newest.id, backup, world.nowMs);
  world.drivers[side === 'client' ? run.plan.client : run.plan.server].requestTurn(0);
}
